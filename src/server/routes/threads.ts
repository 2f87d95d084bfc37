/** Threads: made, read, changed, found, copied, removed. Their states are in states.ts, their runs in runs.ts. */
import { Router } from 'express';
import type { RequestHandler, Response } from 'express';
import type { z } from 'zod';
import { newId } from '../../ids.ts';
import { ThreadNotFoundError } from '../../runs/run.ts';
import { pruneToLatest } from '../../threads/prune.ts';
import {
  copyThread,
  countThreads,
  createThread,
  deleteThread,
  readThread,
  searchThreads,
  ThreadExistsError,
  updateThread,
} from '../../threads/thread.ts';
import type { ThreadRow, ThreadSearch } from '../../threads/thread.ts';
import type { RouteContext } from '../context.ts';
import { sendText } from '../problem.ts';
import { extract } from '../extract.ts';
import { InputInvalidError } from '../problem.ts';
import { pick, sendEmpty, sendJson, sendPage } from '../respond.ts';
import {
  ThreadCountBody,
  ThreadCreate,
  ThreadPatch,
  ThreadPath,
  ThreadPruneBody,
  ThreadReadQuery,
  ThreadSearchBody,
} from '../schemas/thread.ts';
import { queryAt, refused, showCurrentState } from '../state-query.ts';
import { minutesOf, ttlView } from '../ttl.ts';
import { threadView } from '../thread-view.ts';
import { removeThread } from '../thread-remove.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function threadRoutes(context: RouteContext): Router {
  const { pool, guard, graphs } = context;

  const create: RequestHandler = async (request, response) => {
    const body = bodyOf(ThreadCreate, request);
    const threadId = body.thread_id ?? newId();
    const begin = body.supersteps?.length ? await beginningOf(body) : undefined;
    const created = await guard.watch(
      createThread(pool, threadId, body.metadata ?? {}, minutesOf(body.ttl)),
    );
    if (created === undefined && body.if_exists !== 'do_nothing')
      throw new ThreadExistsError('Thread already exists');
    if (created !== undefined && begin !== undefined)
      // A thread without the states it was to begin with is none.
      await begin(created).catch(async (error: unknown) => {
        await deleteThread(pool, threadId);
        throw error;
      });
    const row = created !== undefined && begin === undefined ? created : undefined;
    sendJson(response, threadView(row ?? (await guard.watch(readThread(pool, threadId)))));
  };

  /** @throws {InputInvalidError | GraphNotFoundError} before there is a thread */
  async function beginningOf({
    metadata,
    supersteps,
  }: z.output<typeof ThreadCreate>): Promise<(thread: ThreadRow) => Promise<void>> {
    const graphId = metadata?.['graph_id'];
    if (typeof graphId !== 'string')
      throw new InputInvalidError(
        'supersteps: expected metadata.graph_id, which says whose they are',
      );
    const graph = await graphs.get(graphId);
    const { applySupersteps } = graph;
    if (applySupersteps === undefined)
      throw new InputInvalidError(`supersteps: graph "${graphId}" takes none`);
    return async (thread) => {
      const at = queryAt(thread, {});
      await applySupersteps
        .call(graph, {
          ...at,
          steps: (supersteps ?? []).map(({ updates }) =>
            updates.map(({ values, command, as_node: asNode }) => ({
              values: values ?? null,
              command: command ?? null,
              asNode,
            })),
          ),
        })
        .catch(refused);
      await showCurrentState(pool, graph, at);
    };
  }

  const get: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { include = [] } = queryOf(ThreadReadQuery, request);
    const row = await guard.watch(readThread(pool, threadId));
    sendJson(response, {
      ...threadView(row),
      ...(include.includes('ttl') ? { ttl: ttlView(row) } : {}),
    });
  };

  const patch: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { metadata = {}, ttl } = bodyOf(ThreadPatch, request);
    const row = await guard.watch(updateThread(pool, threadId, metadata, minutesOf(ttl)));
    if (request.headers['prefer'] === 'return=minimal') sendEmpty(response, 204);
    else sendJson(response, threadView(row));
  };

  const remove: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    await removeThread(context, threadId, response);
    sendEmpty(response, 204);
  };

  /** @returns false when there was none */
  async function removed(threadId: string, response: Response): Promise<boolean> {
    try {
      await removeThread(context, threadId, response);
      return true;
    } catch (error) {
      if (error instanceof ThreadNotFoundError) return false;
      throw error;
    }
  }

  /** Threads that are not there do not count; of busy ones the states are left alone. */
  const prune: RequestHandler = async (request, response) => {
    const { thread_ids: threadIds, strategy } = bodyOf(ThreadPruneBody, request);
    let pruned = 0;
    for (const threadId of new Set(threadIds))
      if (
        strategy === 'keep_latest'
          ? await guard.watch(pruneToLatest(pool, threadId))
          : await removed(threadId, response)
      )
        pruned += 1;
    sendJson(response, { pruned_count: pruned });
  };

  const copy: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const row = await guard.watch(copyThread(pool, threadId, newId()));
    // 409, not 404: what the official server answers.
    if (row === undefined) sendText(response, 409, 'Thread not found');
    else sendJson(response, threadView(row));
  };

  const search: RequestHandler = async (request, response) => {
    const body = bodyOf(ThreadSearchBody, request);
    const filter = filterOf(body);
    const [rows, total] = await guard.watch(
      Promise.all([
        searchThreads(pool, filter, {
          limit: body.limit,
          offset: body.offset,
          sortBy: body.sort_by ?? 'created_at',
          sortOrder: body.sort_order ?? 'desc',
        }),
        countThreads(pool, filter),
      ]),
    );
    const views = rows.map((row) => ({
      ...pick(threadView(row), body.select ?? undefined),
      ...(body.extract == null ? {} : { extracted: extract(threadView(row), body.extract) }),
    }));
    sendPage(response, views, { offset: body.offset, total });
  };

  const count: RequestHandler = async (request, response) => {
    const filter = filterOf(bodyOf(ThreadCountBody, request));
    sendJson(response, await guard.watch(countThreads(pool, filter)));
  };

  const router = Router();
  router.post('/threads', create);
  router.post('/threads/search', search);
  router.post('/threads/count', count);
  router.post('/threads/prune', prune);
  router.get('/threads/:thread_id', get);
  router.patch('/threads/:thread_id', patch);
  router.delete('/threads/:thread_id', remove);
  router.post('/threads/:thread_id/copy', copy);
  return router;
}

function filterOf(body: {
  [field in keyof ThreadSearch]: ThreadSearch[field] | null;
}): ThreadSearch {
  return {
    metadata: body.metadata ?? undefined,
    values: body.values ?? undefined,
    status: body.status ?? undefined,
    ids: body.ids ?? undefined,
  };
}
