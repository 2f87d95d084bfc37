/** The rows of runs: those that make one, and those of runs that are there. */
import { z } from 'zod';
import {
  CancelMany,
  CancelManyQuery,
  CancelQuery,
  JoinQuery,
  RunBatch,
  RunCreate,
  RunListQuery,
} from '../schemas/run.ts';
import { ACCEPTED, EMPTY, EVENTS, json } from './operation.ts';
import type { Noun, Operation } from './operation.ts';
import { Anything, Run } from './views.ts';

const thread = '/threads/:thread_id';
const one = `${thread}/runs/:run_id`;
const LAST_EVENT_ID = {
  'Last-Event-ID':
    'Id of the last event that was seen: the stream goes on after it; `-1`: from the first',
};

const creating = (prefix: string, where: string): Operation[] => [
  {
    method: 'post',
    path: `${prefix}/runs`,
    summary: `Create a run ${where}`,
    body: RunCreate,
    answer: json(Run),
    errors: [404, 409],
  },
  {
    method: 'post',
    path: `${prefix}/runs/stream`,
    summary: `Create a run ${where}, stream its events`,
    body: RunCreate,
    answer: EVENTS,
    errors: [404, 409],
  },
  {
    method: 'post',
    path: `${prefix}/runs/wait`,
    summary: `Create a run ${where}, wait for its values`,
    description: 'A run that failed answers `{"__error__": {error, message}}`.',
    body: RunCreate,
    answer: json(Anything),
    errors: [404, 409],
  },
];

const streaming = (prefix: string): Operation => ({
  method: 'get',
  path: `${prefix}/runs/:run_id/stream`,
  summary: 'Events of a run, from any position',
  query: JoinQuery,
  headers: LAST_EVENT_ID,
  answer: EVENTS,
  errors: [404, 410],
});

export const runs: Noun = {
  tag: 'Runs',
  description: 'Executions of an assistant, on a thread or on one of their own.',
  operations: [
    ...creating(thread, 'on a thread'),
    ...creating('', 'without a thread'),
    {
      method: 'post',
      path: '/runs/batch',
      summary: 'Create many runs without a thread',
      body: RunBatch,
      answer: json(z.array(Run)),
      errors: [404],
    },
    {
      method: 'get',
      path: `${thread}/runs`,
      summary: 'List the runs of a thread, newest first',
      query: RunListQuery,
      answer: json(z.array(Run.partial())),
      errors: [404],
    },
    { method: 'get', path: one, summary: 'Read a run', answer: json(Run), errors: [404] },
    {
      method: 'delete',
      path: one,
      summary: 'Delete a run with its checkpoints',
      answer: EMPTY,
      errors: [404],
    },
    {
      method: 'get',
      path: `${one}/join`,
      summary: 'Wait for the values of a run',
      query: JoinQuery,
      answer: json(Anything),
      errors: [404],
    },
    streaming(thread),
    streaming(''),
    {
      method: 'post',
      path: `${one}/cancel`,
      summary: 'Cancel a run',
      description: 'With `wait`, answers 204 when the run has really stopped.',
      query: CancelQuery,
      answer: ACCEPTED,
      errors: [404],
    },
    {
      method: 'post',
      path: '/runs/cancel',
      summary: 'Cancel many runs',
      query: CancelManyQuery,
      body: CancelMany,
      answer: EMPTY,
      errors: [404],
    },
  ],
};
