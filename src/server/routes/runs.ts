/** Runs that are there: read, joined, cancelled, removed. */
import { Router } from 'express';
import type { Request, Response } from 'express';
import { activeRuns, listRuns, readRun } from '../../runs/find.ts';
import { isTerminal, RunNotFoundError } from '../../runs/run.ts';
import type { CancelAction } from '../../runs/run.ts';
import { cancel } from '../../runs/submit.ts';
import { readThread } from '../../threads/thread.ts';
import type { Access } from '../../auth/gate.ts';
import type { Visibility } from '../../postgres/visibility.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { frameText, viewOf } from '../frames.ts';
import { findPosition } from '../position.ts';
import { pick, sendEmpty, sendEvents, sendJson } from '../respond.ts';
import { cancelAndWait } from '../run-cancel.ts';
import { streamRun } from '../run-stream.ts';
import { removeRun } from '../run-remove.ts';
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

const NOT_FOUND = { error: 'Error', message: '404: Thread not found' };

/** Runs that one bulk cancel reaches; a client repeats it for more. */
const CANCEL_MANY_MAX = 10_000;

export function runRoutes(context: RouteContext): Router {
  const { pool, guard, submit } = context;

  const list: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { limit, offset, status, select } = queryOf(RunListQuery, request);
    const { visible } = await access.ask('threads:read', { thread_id: threadId });
    await guard.watch(readThread(pool, threadId, visible));
    const rows = await guard.watch(listRuns(pool, threadId, visible, { limit, offset, status }));
    sendJson(
      response,
      rows.map((row) => pick(runView(row), select)),
    );
  };

  const get: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    const { visible } = await access.ask('threads:read', { thread_id: threadId });
    sendJson(response, runView(await guard.watch(readRun(pool, threadId, runId, visible))));
  };

  const remove: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    const { visible } = await access.ask('threads:delete', { thread_id: threadId, run_id: runId });
    const run = await guard.watch(readRun(pool, threadId, runId, visible));
    // An active run is rolled back: that leaves as little of it as deleting a finished one.
    if (!isTerminal(run.status))
      await cancelAndWait(context, threadId, [runId], 'rollback', response, visible);
    await guard.watch(
      removeRun(context, threadId, runId, visible, access.user).catch((error: unknown) => {
        if (!(error instanceof RunNotFoundError)) throw error;
      }),
    );
    sendEmpty(response, 204);
  };

  const cancelOne: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    const { wait, action } = queryOf(CancelQuery, request);
    const visible = await mayCancel(access, threadId, [runId], action);
    if (wait) await cancelAndWait(context, threadId, [runId], action, response, visible);
    else {
      const cancelled = await guard.watch(cancel(submit, threadId, [runId], action, visible));
      if (cancelled === undefined) throw new RunNotFoundError('Run not found');
    }
    sendEmpty(response, wait ? 204 : 202);
  };

  const cancelMany: AskingHandler = async (request, response, access) => {
    const body = bodyOf(CancelMany, request);
    const { action } = queryOf(CancelManyQuery, request);
    if ('thread_id' in body) {
      const { thread_id: threadId, run_ids: runIds } = body;
      const visible = await mayCancel(access, threadId, runIds, action);
      const cancelled = await guard.watch(cancel(submit, threadId, runIds, action, visible));
      if (cancelled === undefined) throw new RunNotFoundError('Run not found');
    } else {
      const statuses =
        body.status === 'all' ? (['pending', 'running'] as const) : ([body.status] as const);
      const { visible } = await access.ask('threads:update', {
        action,
        metadata: { status: body.status },
      });
      const threads = await guard.watch(activeRuns(pool, statuses, CANCEL_MANY_MAX, visible));
      for (const [threadId, runIds] of threads)
        await guard.watch(cancel(submit, threadId, runIds, action, visible));
    }
    sendEmpty(response, 204);
  };

  /** @returns the threads whose runs the caller may cancel */
  async function mayCancel(
    access: Access,
    threadId: string | undefined,
    runIds: readonly string[],
    action: CancelAction,
  ): Promise<Visibility> {
    const { visible } = await access.ask('threads:update', {
      thread_id: threadId,
      action,
      metadata: { run_ids: runIds, status: 'pending' },
    });
    return visible;
  }

  /** @returns the threads whose runs the caller may follow, and cancel by leaving if that is what it asks for */
  async function mayJoin(
    access: Access,
    threadId: string | undefined,
    runId: string,
    cancelOnDisconnect: boolean,
  ): Promise<Visibility> {
    const { visible } = await access.ask('threads:read', { thread_id: threadId, run_id: runId });
    if (!cancelOnDisconnect || access.user === undefined) return visible;
    const cancellable = await mayCancel(access, threadId, [runId], 'interrupt');
    await guard.watch(
      findPosition(context.reader, { threadId, runId, visible: cancellable }, '-1'),
    );
    return visible;
  }

  const join: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    const { cancel_on_disconnect: cancelOnDisconnect } = queryOf(JoinQuery, request);
    const visible = await mayJoin(access, threadId, runId, cancelOnDisconnect);
    await guard.watch(readRun(pool, threadId, runId, visible));
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
    access: Access,
    run: { threadId: string | undefined; runId: string },
  ): Promise<void> {
    const query = queryOf(JoinQuery, request);
    const header = request.headers['last-event-id'];
    const lastEventId = Array.isArray(header) ? header[0] : header;
    const { threadId, runId } = run;
    const visible = await mayJoin(access, threadId, runId, query.cancel_on_disconnect);
    const position = await guard.watch(
      findPosition(context.reader, { ...run, visible }, lastEventId),
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

  const joinOnThread: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId, run_id: runId } = pathOf(RunPath, request);
    try {
      await joinStream(request, response, access, { threadId, runId });
    } catch (error) {
      if (access.user === undefined || !(error instanceof RunNotFoundError)) throw error;
      // As the official server tells it where auth is configured: of a run that is another's, and of none, alike.
      sendEvents(response, frameText('error', JSON.stringify(NOT_FOUND)));
    }
  };

  const joinByRun: AskingHandler = (request, response, access) => {
    const { run_id: runId } = pathOf(RunOnlyPath, request);
    return joinStream(request, response, access, { threadId: undefined, runId });
  };

  const router = Router();
  const one = '/threads/:thread_id/runs/:run_id';
  const joins = ['threads:read', 'threads:update'] as const;
  router.get('/threads/:thread_id/runs', asks(context, 'threads:read', list));
  router.get(one, asks(context, 'threads:read', get));
  router.delete(one, asks(context, 'threads:delete', remove));
  router.get(`${one}/join`, asks(context, joins, join));
  router.get(`${one}/stream`, asks(context, joins, joinOnThread));
  router.get('/runs/:run_id/stream', asks(context, joins, joinByRun));
  router.post(`${one}/cancel`, asks(context, 'threads:update', cancelOne));
  router.post('/runs/cancel', asks(context, 'threads:update', cancelMany));
  return router;
}
