/** Threads: made, read, changed, found, copied, removed. Their states are in states.ts, their runs in runs.ts. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { newId } from '../../ids.ts';
import {
  copyThread,
  countThreads,
  createThread,
  readThread,
  searchThreads,
  ThreadExistsError,
  updateThread,
} from '../../threads/thread.ts';
import type { ThreadRow, ThreadSearch } from '../../threads/thread.ts';
import type { RouteContext } from '../context.ts';
import { sendText } from '../problem.ts';
import { pick, sendEmpty, sendJson, sendPage } from '../respond.ts';
import {
  ThreadCountBody,
  ThreadCreate,
  ThreadPatch,
  ThreadPath,
  ThreadSearchBody,
} from '../schemas/thread.ts';
import { removeThread } from '../thread-remove.ts';
import { bodyOf, pathOf } from './request.ts';

export function threadRoutes(context: RouteContext): Router {
  const { pool, guard } = context;

  const create: RequestHandler = async (request, response) => {
    const body = bodyOf(ThreadCreate, request);
    const threadId = body.thread_id ?? newId();
    const created = await guard.watch(createThread(pool, threadId, body.metadata ?? {}));
    if (created === undefined && body.if_exists !== 'do_nothing')
      throw new ThreadExistsError('Thread already exists');
    sendJson(response, threadView(created ?? (await guard.watch(readThread(pool, threadId)))));
  };

  const get: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    sendJson(response, threadView(await guard.watch(readThread(pool, threadId))));
  };

  const patch: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { metadata } = bodyOf(ThreadPatch, request);
    const row = await guard.watch(updateThread(pool, threadId, metadata));
    if (request.headers['prefer'] === 'return=minimal') sendEmpty(response, 204);
    else sendJson(response, threadView(row));
  };

  const remove: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    await removeThread(context, threadId, response);
    sendEmpty(response, 204);
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
    const views = rows.map((row) => pick(threadView(row), body.select ?? undefined));
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

function threadView(row: ThreadRow): object {
  return {
    thread_id: row.thread_id,
    created_at: row.created_at,
    updated_at: row.updated_at,
    metadata: row.metadata,
    status: row.status,
    config: row.config,
    values: row.values,
    interrupts: row.interrupts,
    ...(row.error === null ? {} : { error: row.error }),
  };
}
