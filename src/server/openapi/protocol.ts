/** The rows of protocol v2 and of the thread's stream. */
import { z } from 'zod';
import { ThreadStreamQuery } from '../schemas/thread.ts';
import { CommandBody, EventStreamBody } from '../v2/schemas.ts';
import { EVENTS, json } from './operation.ts';
import type { Noun } from './operation.ts';

const one = '/threads/:thread_id';
const LAST_EVENT_ID = {
  'Last-Event-ID': 'The id of the last event that the client has: the stream goes on after it.',
};

const CommandAnswer = z.union([
  z.strictObject({
    type: z.literal('success'),
    id: z.number().int(),
    result: z.record(z.string(), z.unknown()),
    meta: z.strictObject({ thread_id: z.string(), applied_through_seq: z.number().int() }),
  }),
  z.strictObject({
    type: z.literal('error'),
    id: z.number().int().nullable(),
    error: z.string(),
    message: z.string(),
  }),
]);

export const protocol: Noun = {
  tag: 'Thread streams',
  description: 'A thread as a whole: what all its runs emit, past and live, and protocol v2.',
  operations: [
    {
      method: 'post',
      path: `${one}/stream/events`,
      summary: 'Stream the events of protocol v2',
      description:
        'What matches and is there, then live, for as long as the client stays. The thread need not exist yet. A WebSocket upgrade of GET on the same path carries commands, answers and events.',
      body: EventStreamBody,
      headers: LAST_EVENT_ID,
      answer: EVENTS,
      errors: [410],
    },
    {
      method: 'post',
      path: `${one}/commands`,
      summary: 'Send a command of protocol v2',
      description:
        'run.start, input.respond, state.get, agent.getTree. A refused command is answered with 200 and `type: error`.',
      body: CommandBody,
      answer: json(CommandAnswer),
      errors: [404],
    },
    {
      method: 'get',
      path: `${one}/stream`,
      summary: 'Stream every run of a thread',
      query: ThreadStreamQuery,
      headers: LAST_EVENT_ID,
      answer: EVENTS,
      errors: [410],
    },
  ],
};
