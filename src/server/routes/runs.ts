/** Runs that are there: read, joined, cancelled, removed. */
import { Router } from 'express';
import type { Request, RequestHandler, Response } from 'express';
import { activeRuns, deleteRun, listRuns, readRun } from '../../runs/find.ts';
import { isTerminal, RunNotFoundError } from '../../runs/run.ts';
import { cancel } from '../../runs/submit.ts';
import { readThread } from '../../threads/thread.ts';
import type { RouteContext } from '../context.ts';
import { viewOf } from '../frames.ts';
import { findPosition } from '../position.ts';
import { pick, sendEmpty, sendJson } from '../respond.ts';
import { cancelAndWait } from '../run-cancel.ts';
import { streamRun } from '../run-stream.ts';
import { runView } from '../run-view.ts';
import { answerWithEnd } from '../run-wait.ts';
import {
  CancelMany,
  CancelManyQuery,
  CancelQuery,
  JoinQuery,
  RunListQuery,
  RunOnlyPath,
  RunPath,
} from '../schemas/run.ts';
import { ThreadPath } from '../schemas/thread.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

/** Runs that one bulk cancel reaches; a client repeats it for more. */
const CANCEL_MANY_MAX = 10_000;

export function runRoutes(context: RouteContext): Router {
  const { pool, guard, submit } = context;

  const list: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { limit, offset, status, select } = queryOf(RunListQuery, request);
    await guard.watch(readThread(pool, threadId));
    const rows = await guard.watch(listRuns(pool, threadId, { limit, offset, status }));
    sendJson(
      response,
      rows.map((row) => pick(runView(row), select)),
    );
  };

  const get: RequestHandler = async (request, response) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    sendJson(response, runView(await guard.watch(readRun(pool, threadId, runId))));
  };

  const remove: RequestHandler = async (request, response) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    const run = await guard.watch(readRun(pool, threadId, runId));
    // An active run is rolled back: that leaves as little of it as deleting a finished one.
    if (!isTerminal(run.status))
      await cancelAndWait(context, threadId, [runId], 'rollback', response);
    await guard.watch(
      deleteRun(pool, threadId, runId).catch((error: unknown) => {
        if (!(error instanceof RunNotFoundError)) throw error;
      }),
    );
    sendEmpty(response, 204);
  };

  const cancelOne: RequestHandler = async (request, response) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    const { wait, action } = queryOf(CancelQuery, request);
    if (wait) await cancelAndWait(context, threadId, [runId], action, response);
    else {
      const cancelled = await guard.watch(cancel(submit, threadId, [runId], action));
      if (cancelled === undefined) throw new RunNotFoundError('Run not found');
    }
    sendEmpty(response, wait ? 204 : 202);
  };

  const cancelMany: RequestHandler = async (request, response) => {
    const body = bodyOf(CancelMany, request);
    const { action } = queryOf(CancelManyQuery, request);
    if ('thread_id' in body) {
      const cancelled = await guard.watch(cancel(submit, body.thread_id, body.run_ids, action));
      if (cancelled === undefined) throw new RunNotFoundError('Run not found');
    } else {
      const statuses =
        body.status === 'all' ? (['pending', 'running'] as const) : ([body.status] as const);
      const threads = await guard.watch(activeRuns(pool, statuses, CANCEL_MANY_MAX));
      for (const [threadId, runIds] of threads)
        await guard.watch(cancel(submit, threadId, runIds, action));
    }
    sendEmpty(response, 204);
  };

  const join: RequestHandler = async (request, response) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    const { cancel_on_disconnect: cancelOnDisconnect } = queryOf(JoinQuery, request);
    await guard.watch(readRun(pool, threadId, runId));
    await answerWithEnd(context, response, {
      threadId,
      runId,
      mayHaveEnded: true,
      cancelOnDisconnect,
    });
  };

  async function joinStream(
    request: Request,
    response: Response,
    run: { threadId: string | undefined; runId: string },
  ): Promise<void> {
    const query = queryOf(JoinQuery, request);
    const header = request.headers['last-event-id'];
    const position = await guard.watch(
      findPosition(context.reader, run, Array.isArray(header) ? header[0] : header),
    );
    const prefix = run.threadId === undefined ? '' : `/threads/${run.threadId}`;
    const content = `${prefix}/runs/${run.runId}`;
    streamRun(context, response, {
      runId: run.runId,
      position,
      view: viewOf(query.stream_mode),
      cancelOnDisconnect: query.cancel_on_disconnect,
      // Without the query: the SDK adds it again by itself.
      headers: { 'content-location': content, location: `${content}/stream` },
    });
  }

  const router = Router();
  router.get('/threads/:thread_id/runs', list);
  router.get('/threads/:thread_id/runs/:run_id', get);
  router.delete('/threads/:thread_id/runs/:run_id', remove);
  router.get('/threads/:thread_id/runs/:run_id/join', join);
  router.get('/threads/:thread_id/runs/:run_id/stream', (request, response) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    return joinStream(request, response, { threadId, runId });
  });
  router.get('/runs/:run_id/stream', (request, response) => {
    const { run_id: runId } = pathOf(RunOnlyPath, request);
    return joinStream(request, response, { threadId: undefined, runId });
  });
  router.post('/threads/:thread_id/runs/:run_id/cancel', cancelOne);
  router.post('/runs/cancel', cancelMany);
  return router;
}
