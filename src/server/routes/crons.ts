/** Crons: runs on a schedule, each on a thread of its own or all on one (HTTP.md, 3.4). */
import { Router } from 'express';
import { assistantIdOf, AssistantNotFoundError } from '../../assistants/assistant.ts';
import { countCrons, createCron, deleteCron, searchCrons, updateCron } from '../../crons/cron.ts';
import type { CronSearch } from '../../crons/cron.ts';
import { newId } from '../../ids.ts';
import { readThread } from '../../threads/thread.ts';
import type { Access } from '../../auth/gate.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { newRunOf } from '../run-request.ts';
import { RunCreate } from '../schemas/run.ts';
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
    (onThread: boolean): AskingHandler =>
    async (request, response, access) => {
      const threadId = onThread ? pathOf(ThreadPath, request).thread_id : null;
      const body = bodyOf(CronCreate, request);
      const cronId = newId();
      const { value } = await access.ask('crons:create', {
        cron_id: cronId,
        assistant_id: assistantIdOf(body.assistant_id),
        thread_id: threadId,
        schedule: body.schedule,
        user_id: access.user?.identity,
        end_time: body.end_time?.toISOString(),
        payload: payloadOf(body),
        metadata: body.metadata ?? {},
      });
      // Asked now so that it is refused now, and again each time it is due: its runs are the caller's.
      const run = await guard.watch(
        newRunOf(
          pool,
          RunCreate.parse({
            ...value.payload,
            assistant_id: body.assistant_id,
            metadata: value.metadata,
          }),
          threadId ?? undefined,
          {},
          access,
        ).catch(assistantGone),
      );
      if (threadId !== null) await guard.watch(readThread(pool, threadId, run.visible));
      const cron = await guard.watch(
        createCron(pool, {
          cron_id: cronId,
          assistant_id: run.assistantId,
          thread_id: threadId,
          schedule: body.schedule,
          timezone: body.timezone ?? null,
          end_time: body.end_time ?? null,
          enabled: body.enabled ?? true,
          on_run_completed: threadId === null ? (body.on_run_completed ?? 'delete') : null,
          payload: value.payload,
          metadata: value.metadata,
          user: access.user ?? null,
        }),
      );
      sendJson(response, cron);
    };

  const patch: AskingHandler = async (request, response, access) => {
    const { cron_id: cronId } = pathOf(CronPath, request);
    const body = bodyOf(CronPatch, request);
    const { visible, value } = await access.ask('crons:update', {
      cron_id: cronId,
      schedule: body.schedule,
      payload: payloadOf(body),
      metadata: body.metadata ?? {},
    });
    const cron = await guard.watch(
      updateCron(pool, cronId, visible, access.user ?? null, {
        schedule: body.schedule,
        timezone: body.timezone,
        end_time: body.end_time,
        enabled: body.enabled ?? undefined,
        on_run_completed: body.on_run_completed ?? undefined,
        payload: value.payload,
        metadata: value.metadata,
      }),
    );
    sendJson(response, cron);
  };

  const remove: AskingHandler = async (request, response, access) => {
    const { cron_id: cronId } = pathOf(CronPath, request);
    const { visible } = await access.ask('crons:delete', { cron_id: cronId });
    await guard.watch(deleteCron(pool, cronId, visible));
    sendEmpty(response, 204);
  };

  const search: AskingHandler = async (request, response, access) => {
    const body = bodyOf(CronSearchBody, request);
    const { limit, offset } = body;
    const filter = await filterOf(body, access);
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

  const count: AskingHandler = async (request, response, access) => {
    const filter = await filterOf(bodyOf(CronCountBody, request), access);
    sendJson(response, await guard.watch(countCrons(pool, filter)));
  };

  const router = Router();
  const creation = ['crons:create', 'threads:create_run', 'assistants:read'] as const;
  router.post('/runs/crons', asks(context, creation, creates(false)));
  router.post('/threads/:thread_id/runs/crons', asks(context, creation, creates(true)));
  router.post('/runs/crons/search', asks(context, 'crons:search', search));
  router.post('/runs/crons/count', asks(context, 'crons:search', count));
  router.patch('/runs/crons/:cron_id', asks(context, 'crons:update', patch));
  router.delete('/runs/crons/:cron_id', asks(context, 'crons:delete', remove));
  return router;
}

/** As elsewhere where no run is made. */
function assistantGone(cause: unknown): never {
  if (!(cause instanceof AssistantNotFoundError)) throw cause;
  throw new AssistantNotFoundError('Assistant not found', { cause });
}

async function filterOf(
  body: {
    assistant_id?: string | null | undefined;
    thread_id?: string | null | undefined;
    enabled?: boolean | null | undefined;
    metadata?: Record<string, unknown> | null | undefined;
    limit?: number;
    offset?: number;
  },
  access: Access,
): Promise<CronSearch> {
  const { assistant_id: assistant, thread_id: threadId, enabled, metadata, limit, offset } = body;
  const { visible } = await access.ask('crons:search', {
    assistant_id: assistant,
    thread_id: threadId,
    metadata: { ...metadata },
    limit,
    offset,
  });
  return {
    visible,
    assistantId: assistant == null ? undefined : assistantIdOf(assistant),
    threadId: threadId ?? undefined,
    enabled: enabled ?? undefined,
    metadata: metadata ?? undefined,
  };
}
