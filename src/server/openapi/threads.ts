/** The rows of threads and their states. */
import { z } from 'zod';
import {
  HistoryBody,
  HistoryQueryString,
  StateAtCheckpoint,
  StatePatchBody,
  StateQueryString,
  StateUpdateBody,
  ThreadCountBody,
  ThreadCreate,
  ThreadPatch,
  ThreadPruneBody,
  ThreadReadQuery,
  ThreadSearchBody,
} from '../schemas/thread.ts';
import { EMPTY, json } from './operation.ts';
import type { Noun } from './operation.ts';
import { Count, StateUpdated, Thread, ThreadState } from './views.ts';

const one = '/threads/:thread_id';

export const threads: Noun = {
  tag: 'Threads',
  description: 'Conversations: their states, and one ordered log of what their runs emit.',
  operations: [
    {
      method: 'post',
      path: '/threads',
      summary: 'Create a thread',
      body: ThreadCreate,
      answer: json(Thread),
      errors: [409],
    },
    {
      method: 'post',
      path: '/threads/search',
      summary: 'Search threads',
      description:
        '`x-pagination-total` and, when there is a next page, `x-pagination-next` tell the place.',
      body: ThreadSearchBody,
      answer: json(z.array(Thread.partial())),
    },
    {
      method: 'post',
      path: '/threads/count',
      summary: 'Count threads',
      body: ThreadCountBody,
      answer: json(Count),
    },
    {
      method: 'get',
      path: one,
      summary: 'Read a thread',
      query: ThreadReadQuery,
      answer: json(Thread),
      errors: [404],
    },
    {
      method: 'patch',
      path: one,
      summary: 'Merge metadata, set the time to live',
      headers: { Prefer: '`return=minimal`: answers 204 without a body' },
      body: ThreadPatch,
      answer: json(Thread),
      errors: [404],
    },
    {
      method: 'delete',
      path: one,
      summary: 'Delete a thread with all that belongs to it',
      description: 'Runs that are under way are stopped first.',
      answer: EMPTY,
      errors: [404],
    },
    {
      method: 'post',
      path: '/threads/prune',
      summary: 'Delete threads, or all of their states but the latest',
      description: 'Threads that are not there do not count; busy ones keep their states.',
      body: ThreadPruneBody,
      answer: json(z.strictObject({ pruned_count: Count })),
    },
    {
      method: 'patch',
      path: `${one}/state`,
      summary: 'Merge metadata',
      body: StatePatchBody,
      answer: json(Thread),
      errors: [404],
    },
    {
      method: 'post',
      path: `${one}/copy`,
      summary: 'Copy a thread',
      answer: json(Thread),
      errors: [404],
    },
    {
      method: 'get',
      path: `${one}/state`,
      summary: 'The latest state',
      query: StateQueryString,
      answer: json(ThreadState),
      errors: [404],
    },
    {
      method: 'post',
      path: `${one}/state`,
      summary: 'Change the state by hand',
      body: StateUpdateBody,
      answer: json(StateUpdated),
      errors: [404, 409],
    },
    {
      method: 'get',
      path: `${one}/state/:checkpoint_id`,
      summary: 'The state at a checkpoint',
      query: StateQueryString,
      answer: json(ThreadState),
      errors: [404],
    },
    {
      method: 'post',
      path: `${one}/state/checkpoint`,
      summary: 'The state at a checkpoint, of a subgraph too',
      body: StateAtCheckpoint,
      answer: json(ThreadState),
      errors: [404],
    },
    {
      method: 'get',
      path: `${one}/history`,
      summary: 'States, newest first',
      query: HistoryQueryString,
      answer: json(z.array(ThreadState)),
      errors: [404],
    },
    {
      method: 'post',
      path: `${one}/history`,
      summary: 'States, newest first, filtered',
      body: HistoryBody,
      answer: json(z.array(ThreadState)),
      errors: [404],
    },
  ],
};
