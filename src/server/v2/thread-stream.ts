/** Streams a whole thread to one client: what is there, then live, over the ends of its runs. */
import type { Request, Response } from 'express';
import type { Access } from '../../auth/gate.ts';
import { openReader } from '../../events/reader.ts';
import type { Reader } from '../../events/reader.ts';
import { isForeignThread, threadNotFound } from '../../threads/thread.ts';
import { heldSink } from '../auth/held-sink.ts';
import type { RouteContext } from '../context.ts';
import { openSse } from '../sse.ts';
import type { SseFormat } from '../sse.ts';
import { findThreadPosition } from './cursor.ts';
import { encodeThreadFrames } from './frames.ts';
import type { ThreadView } from './frames.ts';

export interface ThreadStreamOptions {
  readonly threadId: string;
  readonly view: ThreadView;
  readonly since: number | string | undefined;
}

/** @throws {ThreadNotFoundError} another's */
export async function streamThread(
  context: RouteContext,
  request: Request,
  response: Response,
  access: Access,
  { threadId, view, since }: ThreadStreamOptions,
): Promise<void> {
  const { suffixes, pool } = context;
  const { visible } = await access.ask('threads:read', { thread_id: threadId });
  const isForeign = (): Promise<boolean> => isForeignThread(pool, threadId, visible);
  if (await context.guard.watch(isForeign())) throw threadNotFound(threadId);
  const header = request.headers['last-event-id'];
  const lastEventId = Array.isArray(header) ? header[0] : header;
  const after = await context.guard.watch(
    findThreadPosition(context.pool, threadId, { lastEventId, since }),
  );
  // The client went while its request was being looked at.
  if (response.destroyed) return;
  context.metrics.sseClients.inc();
  const format: SseFormat = {
    encode(batch) {
      const suffix = suffixes.known(batch);
      if (suffix !== undefined) return encodeThreadFrames(batch, suffix, view);
      return suffixes
        .find(threadId, batch.term)
        .then((found) => encodeThreadFrames(batch, found, view));
    },
    rewind: async (to) => view.rewind(await suffixes.idAt(threadId, to)),
  };
  const { onTrouble } = context.reader;
  const sink = openSse({ open: context.open, onTrouble }, response, {
    format,
    headers: {},
    onClose() {
      reader.close();
      context.metrics.sseClients.dec();
    },
  });
  // A thread that comes later may be another's.
  const held =
    visible.metadata === null
      ? sink
      : heldSink(
          sink,
          async () => !(await isForeign()),
          (error) => {
            if (error !== undefined) onTrouble(`look at thread ${threadId}`, error);
            response.destroy();
          },
        );
  const reader: Reader = openReader(
    context.reader,
    { threadId, runId: null, after, waitForThread: true },
    held,
  );
}
