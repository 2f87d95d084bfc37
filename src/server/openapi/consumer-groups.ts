/** The rows of consumer groups. */
import { z } from 'zod';
import {
  ConsumerGroupCreate,
  DeadLetterListQuery,
  DeadLetterReplay,
} from '../schemas/consumer-group.ts';
import { EMPTY, json } from './operation.ts';
import type { Noun } from './operation.ts';
import { ConsumerGroup, DeadLetter } from './views.ts';

export const consumerGroups: Noun = {
  tag: 'Consumer groups',
  description:
    'Every event of the threads, delivered at least once and in the order of its thread, with retries and dead letters.',
  operations: [
    {
      method: 'post',
      path: '/consumer-groups',
      summary: 'Create a consumer group that delivers to a URL',
      body: ConsumerGroupCreate,
      answer: json(ConsumerGroup),
      errors: [409, 422],
    },
    {
      method: 'get',
      path: '/consumer-groups',
      summary: 'List consumer groups, by name',
      answer: json(z.array(ConsumerGroup)),
    },
    {
      method: 'get',
      path: '/consumer-groups/:name',
      summary: 'Get a consumer group',
      answer: json(ConsumerGroup),
      errors: [404],
    },
    {
      method: 'delete',
      path: '/consumer-groups/:name',
      summary: 'Delete a consumer group with its dead letters',
      answer: EMPTY,
      errors: [404],
    },
    {
      method: 'get',
      path: '/consumer-groups/:name/dead-letters',
      summary: 'List events that could not be delivered, newest first',
      query: DeadLetterListQuery,
      answer: json(z.array(DeadLetter)),
      errors: [404],
    },
    {
      method: 'post',
      path: '/consumer-groups/:name/dead-letters/replay',
      summary: 'Deliver dead letters again, each by itself',
      body: DeadLetterReplay,
      answer: json(z.strictObject({ replaying: z.int() })),
      errors: [404],
    },
  ],
};
