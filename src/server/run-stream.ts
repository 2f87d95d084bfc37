/** Streams a run's events to one client: position, view, and what happens when the client goes. */
import type { Response } from 'express';
import { openReader } from '../events/reader.ts';
import type { Reader, ReaderSink } from '../events/reader.ts';
import type { RouteContext } from './context.ts';
import { cancelLeft } from './run-wait.ts';
import type { RunPosition } from './position.ts';
import type { View } from './frames.ts';
import { openSse, runFormat } from './sse.ts';

export interface StreamOptions {
  readonly runId: string;
  readonly position: RunPosition;
  readonly view: View;
  readonly cancelOnDisconnect: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

export function streamRun(context: RouteContext, response: Response, options: StreamOptions): void {
  const { runId, position } = options;
  const { threadId, runFirst, after } = position;
  // The client went while its request was being looked at.
  if (response.destroyed) {
    if (options.cancelOnDisconnect) cancelLeft(context, { threadId, runId });
    return;
  }
  context.metrics.sseClients.inc();
  const leaveChannel = context.streamChannels?.open(runId);
  const sink: ReaderSink = openSse(
    {
      open: context.open,
      onTrouble: (what, error) => {
        context.reader.onTrouble(what, error);
      },
    },
    response,
    {
      format: runFormat(context.attempts, threadId, options.view),
      headers: options.headers,
      onClose(byClient) {
        reader.close();
        leaveChannel?.();
        context.metrics.sseClients.dec();
        if (byClient && options.cancelOnDisconnect) cancelLeft(context, { threadId, runId });
      },
    },
  );
  if (position.rewound && after !== undefined) {
    context.reader.onRewind(threadId, after.seq);
    void sink.rewind(after.seq, runFirst ?? 1);
  }
  const reader: Reader = openReader(context.reader, { threadId, runId, after, runFirst }, sink);
}
