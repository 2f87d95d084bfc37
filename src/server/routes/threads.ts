/** Threads: made, read, changed, found, copied, removed. Their states are in states.ts, their runs in runs.ts. */
import { Router } from 'express';
import type { z } from 'zod';
import { newId } from '../../ids.ts';
import { pruneToLatest } from '../../threads/prune.ts';
import {
  copyThread,
  countThreads,
  createThread,
  deleteThread,
  isForeignThread,
  readThread,
  searchThreads,
  ThreadExistsError,
  updateThread,
} from '../../threads/thread.ts';
import type { ThreadRow, ThreadSearch } from '../../threads/thread.ts';
import type { Access } from '../../auth/gate.ts';
import { EVERYTHING } from '../../postgres/visibility.ts';
import type { Visibility } from '../../postgres/visibility.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
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
import { removeIfThere, removeThread } from '../thread-remove.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function threadRoutes(context: RouteContext): Router {
  const { pool, guard, graphs } = context;

  const create: AskingHandler = async (request, response, access) => {
    const body = bodyOf(ThreadCreate, request);
    const threadId = body.thread_id ?? newId();
    const { visible, value } = await access.ask('threads:create', {
      thread_id: threadId,
      metadata: body.metadata ?? {},
      if_exists: body.if_exists ?? 'raise',
    });
    if (body.supersteps?.length) await access.ask('threads:update', { thread_id: threadId });
    const begin = body.supersteps?.length ? await beginningOf(body, access) : undefined;
    const created = await guard.watch(
      createThread(pool, threadId, value.metadata, minutesOf(body.ttl)),
    );
    const taken = created === undefined && (await isForeignThread(pool, threadId, visible));
    if (taken || (created === undefined && body.if_exists !== 'do_nothing'))
      throw new ThreadExistsError('Thread already exists');
    if (created !== undefined && begin !== undefined)
      // A thread without the states it was to begin with is none.
      await begin(created).catch(async (error: unknown) => {
        await deleteThread(pool, threadId, EVERYTHING);
        throw error;
      });
    const row = created !== undefined && begin === undefined ? created : undefined;
    // What was made just now is the caller's, whatever the filter says of it.
    const shown = created === undefined ? visible : EVERYTHING;
    sendJson(response, threadView(row ?? (await guard.watch(readThread(pool, threadId, shown)))));
  };

  /** @throws {InputInvalidError | GraphNotFoundError} before there is a thread */
  async function beginningOf(
    { metadata, supersteps }: z.output<typeof ThreadCreate>,
    { user }: Access,
  ): Promise<(thread: ThreadRow) => Promise<void>> {
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
      const at = queryAt(thread, {}, user);
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

  const get: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { include = [] } = queryOf(ThreadReadQuery, request);
    const { visible } = await access.ask('threads:read', { thread_id: threadId });
    const row = await guard.watch(readThread(pool, threadId, visible));
    sendJson(response, {
      ...threadView(row),
      ...(include.includes('ttl') ? { ttl: ttlView(row) } : {}),
    });
  };

  const patch: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { metadata, ttl } = bodyOf(ThreadPatch, request);
    const { visible, value } = await access.ask('threads:update', {
      thread_id: threadId,
      metadata: metadata ?? {},
    });
    const row = await guard.watch(
      updateThread(pool, threadId, visible, value.metadata, minutesOf(ttl)),
    );
    if (request.headers['prefer'] === 'return=minimal') sendEmpty(response, 204);
    else sendJson(response, threadView(row));
  };

  const remove: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { visible } = await access.ask('threads:delete', { thread_id: threadId });
    await removeThread(context, threadId, response, visible);
    sendEmpty(response, 204);
  };

  /** Threads that are not there do not count; of busy ones the states are left alone. */
  const prune: AskingHandler = async (request, response, access) => {
    const { thread_ids: threadIds, strategy } = bodyOf(ThreadPruneBody, request);
    let pruned = 0;
    const event = strategy === 'keep_latest' ? 'threads:update' : 'threads:delete';
    const permits: [string, Visibility][] = [];
    // All are asked for before the first is touched.
    for (const threadId of new Set(threadIds))
      permits.push([threadId, (await access.ask(event, { thread_id: threadId })).visible]);
    for (const [threadId, visible] of permits)
      if (
        strategy === 'keep_latest'
          ? await guard.watch(pruneToLatest(pool, threadId, visible))
          : await removeIfThere(context, threadId, response, visible)
      )
        pruned += 1;
    sendJson(response, { pruned_count: pruned });
  };

  const copy: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const to = newId();
    const { visible } = await access.ask('threads:read', { thread_id: threadId });
    // The copy is the caller's.
    const { value } = await access.ask('threads:create', {
      thread_id: to,
      metadata: {},
      if_exists: 'raise',
    });
    const row = await guard.watch(copyThread(pool, threadId, to, visible, value.metadata));
    // 409, not 404: what the official server answers.
    if (row === undefined) sendText(response, 409, 'Thread not found');
    else sendJson(response, threadView(row));
  };

  const search: AskingHandler = async (request, response, access) => {
    const body = bodyOf(ThreadSearchBody, request);
    const filter = await filterOf(body, access);
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

  const count: AskingHandler = async (request, response, access) => {
    const filter = await filterOf(bodyOf(ThreadCountBody, request), access);
    sendJson(response, await guard.watch(countThreads(pool, filter)));
  };

  const router = Router();
  router.post('/threads', asks(context, ['threads:create', 'threads:update'], create));
  router.post('/threads/search', asks(context, 'threads:search', search));
  router.post('/threads/count', asks(context, 'threads:search', count));
  router.post('/threads/prune', asks(context, ['threads:delete', 'threads:update'], prune));
  router.get('/threads/:thread_id', asks(context, 'threads:read', get));
  router.patch('/threads/:thread_id', asks(context, 'threads:update', patch));
  router.delete('/threads/:thread_id', asks(context, 'threads:delete', remove));
  router.post('/threads/:thread_id/copy', asks(context, ['threads:read', 'threads:create'], copy));
  return router;
}

type ThreadFilter = Omit<ThreadSearch, 'visible'>;

async function filterOf(
  body: { [field in keyof ThreadFilter]: ThreadFilter[field] | null } & {
    limit?: number;
    offset?: number;
  },
  access: Access,
): Promise<ThreadSearch> {
  const { metadata, values, status, ids, limit, offset } = body;
  const asked = { metadata: { ...metadata }, values, status, ids, limit, offset };
  const { visible } = await access.ask('threads:search', asked);
  return {
    visible,
    metadata: metadata ?? undefined,
    values: values ?? undefined,
    status: status ?? undefined,
    ids: ids ?? undefined,
  };
}
