/** The rows of crons and of webhooks, which work by themselves. */
import { z } from 'zod';
import { CronCountBody, CronCreate, CronPatch, CronSearchBody } from '../schemas/cron.ts';
import { DeliveryListQuery } from '../schemas/webhook.ts';
import { EMPTY, json } from './operation.ts';
import type { Noun } from './operation.ts';
import { Count, Cron, Delivery } from './views.ts';

export const crons: Noun = {
  tag: 'Crons',
  description: 'Runs that begin by a schedule, once across all processes.',
  operations: [
    {
      method: 'post',
      path: '/runs/crons',
      summary: 'Create a cron whose runs have threads of their own',
      body: CronCreate,
      answer: json(Cron),
      errors: [404],
    },
    {
      method: 'post',
      path: '/threads/:thread_id/runs/crons',
      summary: 'Create a cron whose runs are on a thread',
      body: CronCreate,
      answer: json(Cron),
      errors: [404],
    },
    {
      method: 'post',
      path: '/runs/crons/search',
      summary: 'Search crons',
      body: CronSearchBody,
      answer: json(z.array(Cron.partial())),
    },
    {
      method: 'post',
      path: '/runs/crons/count',
      summary: 'Count crons',
      body: CronCountBody,
      answer: json(Count),
    },
    {
      method: 'patch',
      path: '/runs/crons/:cron_id',
      summary: 'Change a cron',
      body: CronPatch,
      answer: json(Cron),
      errors: [404],
    },
    {
      method: 'delete',
      path: '/runs/crons/:cron_id',
      summary: 'Delete a cron',
      answer: EMPTY,
      errors: [404],
    },
  ],
};

export const webhooks: Noun = {
  tag: 'Webhooks',
  description: 'Ends of runs, delivered to the `webhook` of the run with retries.',
  operations: [
    {
      method: 'get',
      path: '/webhooks/deliveries',
      summary: 'List deliveries, newest first',
      query: DeliveryListQuery,
      answer: json(z.array(Delivery)),
    },
    {
      method: 'post',
      path: '/webhooks/deliveries/:delivery_id/replay',
      summary: 'Deliver again',
      answer: json(Delivery),
      errors: [404],
    },
  ],
};
