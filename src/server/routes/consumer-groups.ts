/**
 * Consumer groups and their dead letters. Who makes one reads threads from then on, so it is asked like a search of
 * threads; what the answer lets it see is kept with the group.
 */
import { Router } from 'express';
import { assistantIdOf } from '../../assistants/assistant.ts';
import { eventIdOf } from '../../consumer-groups/batch.ts';
import { listDeadLetters, replayDeadLetters } from '../../consumer-groups/dead-letters.ts';
import type { DeadLetter } from '../../consumer-groups/dead-letters.ts';
import { createGroup, deleteGroup, listGroups, readGroup } from '../../consumer-groups/group.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { sendEmpty, sendJson, sendJsonText } from '../respond.ts';
import {
  ConsumerGroupCreate,
  ConsumerGroupPath,
  DeadLetterListQuery,
  DeadLetterReplay,
} from '../schemas/consumer-group.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function consumerGroupRoutes(context: RouteContext): Router {
  const { pool, guard, submit } = context;
  const tell = (): void => {
    submit.signals.publish('consumer_group', '');
  };

  const create: AskingHandler = async (request, response, access) => {
    const { from, batch_max: batchMax, ...body } = bodyOf(ConsumerGroupCreate, request);
    const { assistant_id: assistant, thread_id: threadId } = body;
    const { visible } = await access.ask('threads:search', { thread_id: threadId ?? undefined });
    const group = await guard.watch(
      createGroup(
        pool,
        {
          name: body.name,
          url: body.url,
          source: 'api',
          thread_id: threadId ?? null,
          assistant_id: assistant == null ? null : assistantIdOf(assistant),
          event_types: body.event_types ?? null,
          from,
          batch_max: batchMax,
        },
        visible,
      ),
    );
    tell();
    sendJson(response, group);
  };

  const list: AskingHandler = async (_request, response, access) => {
    const { visible } = await access.ask('threads:search', {});
    sendJson(response, await guard.watch(listGroups(pool, visible)));
  };

  const read: AskingHandler = async (request, response, access) => {
    const { name } = pathOf(ConsumerGroupPath, request);
    const { visible } = await access.ask('threads:search', {});
    sendJson(response, await guard.watch(readGroup(pool, name, visible)));
  };

  const remove: AskingHandler = async (request, response, access) => {
    const { name } = pathOf(ConsumerGroupPath, request);
    const { visible } = await access.ask('threads:search', {});
    await guard.watch(deleteGroup(pool, name, visible));
    tell();
    sendEmpty(response, 204);
  };

  const deadLetters: AskingHandler = async (request, response, access) => {
    const { name } = pathOf(ConsumerGroupPath, request);
    const { thread_id: threadId, limit, offset } = queryOf(DeadLetterListQuery, request);
    const { visible } = await access.ask('threads:search', {});
    const { group_id: groupId } = await guard.watch(readGroup(pool, name, visible));
    const rows = await guard.watch(
      listDeadLetters(pool, { groupId, visible, threadId }, { limit, offset }),
    );
    sendJsonText(response, `[${rows.map(deadLetterText).join(',')}]`);
  };

  const replay: AskingHandler = async (request, response, access) => {
    const { name } = pathOf(ConsumerGroupPath, request);
    const body = bodyOf(DeadLetterReplay, request);
    const { visible } = await access.ask('threads:search', {});
    const { group_id: groupId } = await guard.watch(readGroup(pool, name, visible));
    const search = { groupId, visible, threadId: body.thread_id ?? undefined };
    const replaying = await guard.watch(
      replayDeadLetters(pool, search, body.dead_letter_ids ?? undefined, body.limit),
    );
    tell();
    sendJson(response, { replaying });
  };

  const router = Router();
  router.post('/consumer-groups', asks(context, 'threads:search', create));
  router.get('/consumer-groups', asks(context, 'threads:search', list));
  router.get('/consumer-groups/:name', asks(context, 'threads:search', read));
  router.delete('/consumer-groups/:name', asks(context, 'threads:search', remove));
  const letters = '/consumer-groups/:name/dead-letters';
  router.get(letters, asks(context, 'threads:search', deadLetters));
  router.post(`${letters}/replay`, asks(context, 'threads:search', replay));
  return router;
}

/** The data is JSON already. */
function deadLetterText({ data, ...row }: DeadLetter): string {
  const event_id = eventIdOf(row.thread_id, row);
  return `${JSON.stringify({ ...row, event_id }).slice(0, -1)},"data":${data}}`;
}
