/** Crons: runs on a schedule, each on a thread of its own or all on one (HTTP.md, 3.4). */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { assistantIdOf, readAssistant } from '../../assistants/assistant.ts';
import { countCrons, createCron, deleteCron, searchCrons, updateCron } from '../../crons/cron.ts';
import type { CronSearch } from '../../crons/cron.ts';
import { newId } from '../../ids.ts';
import { readThread } from '../../threads/thread.ts';
import type { RouteContext } from '../context.ts';
import { pick, sendEmpty, sendJson, sendPage } from '../respond.ts';
import {
  CronCountBody,
  CronCreate,
  CronPatch,
  CronPath,
  CronSearchBody,
  payloadOf,
} from '../schemas/cron.ts';
import { ThreadPath } from '../schemas/thread.ts';
import { bodyOf, pathOf } from './request.ts';

export function cronRoutes(context: RouteContext): Router {
  const { pool, guard } = context;

  const creates =
    (onThread: boolean): RequestHandler =>
    async (request, response) => {
      const threadId = onThread ? pathOf(ThreadPath, request).thread_id : null;
      const body = bodyOf(CronCreate, request);
      const assistant = await guard.watch(readAssistant(pool, body.assistant_id));
      if (threadId !== null) await guard.watch(readThread(pool, threadId));
      const cron = await guard.watch(
        createCron(pool, {
          cron_id: newId(),
          assistant_id: assistant.assistant_id,
          thread_id: threadId,
          schedule: body.schedule,
          timezone: body.timezone ?? null,
          end_time: body.end_time ?? null,
          enabled: body.enabled ?? true,
          on_run_completed: threadId === null ? (body.on_run_completed ?? 'delete') : null,
          payload: payloadOf(body),
          metadata: body.metadata ?? {},
        }),
      );
      sendJson(response, cron);
    };

  const patch: RequestHandler = async (request, response) => {
    const { cron_id: cronId } = pathOf(CronPath, request);
    const body = bodyOf(CronPatch, request);
    const cron = await guard.watch(
      updateCron(pool, cronId, {
        schedule: body.schedule,
        timezone: body.timezone,
        end_time: body.end_time,
        enabled: body.enabled ?? undefined,
        on_run_completed: body.on_run_completed ?? undefined,
        payload: payloadOf(body),
        metadata: body.metadata ?? undefined,
      }),
    );
    sendJson(response, cron);
  };

  const remove: RequestHandler = async (request, response) => {
    const { cron_id: cronId } = pathOf(CronPath, request);
    await guard.watch(deleteCron(pool, cronId));
    sendEmpty(response, 204);
  };

  const search: RequestHandler = async (request, response) => {
    const body = bodyOf(CronSearchBody, request);
    const { limit, offset } = body;
    const filter = filterOf(body);
    const [rows, total] = await guard.watch(
      Promise.all([
        searchCrons(pool, filter, {
          limit,
          offset,
          sortBy: body.sort_by ?? 'created_at',
          sortOrder: body.sort_order ?? 'desc',
        }),
        countCrons(pool, filter),
      ]),
    );
    const views = rows.map((row) => pick(row, body.select ?? undefined));
    sendPage(response, views, { offset, total });
  };

  const count: RequestHandler = async (request, response) => {
    const filter = filterOf(bodyOf(CronCountBody, request));
    sendJson(response, await guard.watch(countCrons(pool, filter)));
  };

  const router = Router();
  router.post('/runs/crons', creates(false));
  router.post('/threads/:thread_id/runs/crons', creates(true));
  router.post('/runs/crons/search', search);
  router.post('/runs/crons/count', count);
  router.patch('/runs/crons/:cron_id', patch);
  router.delete('/runs/crons/:cron_id', remove);
  return router;
}

function filterOf(body: {
  assistant_id?: string | null | undefined;
  thread_id?: string | null | undefined;
  enabled?: boolean | null | undefined;
  metadata?: Record<string, unknown> | null | undefined;
}): CronSearch {
  return {
    assistantId: body.assistant_id == null ? undefined : assistantIdOf(body.assistant_id),
    threadId: body.thread_id ?? undefined,
    enabled: body.enabled ?? undefined,
    metadata: body.metadata ?? undefined,
  };
}
