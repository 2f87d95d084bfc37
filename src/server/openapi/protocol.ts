/** The rows of what speaks of a thread as a whole: its stream, and protocol v2. */
import { ThreadStreamQuery } from '../schemas/thread.ts';
import { CommandBody, EventStreamBody } from '../v2/schemas.ts';
import { EVENTS, json } from './operation.ts';
import type { Noun } from './operation.ts';
import { Anything } from './views.ts';

const LAST_EVENT_ID = { 'Last-Event-ID': 'Id of the last event that was seen' };

export const protocol: Noun = {
  tag: 'Thread streams',
  description:
    'All runs of a thread in one stream; protocol v2 also over a WebSocket on `stream/events`.',
  operations: [
    {
      method: 'get',
      path: '/threads/:thread_id/stream',
      summary: 'Events of every run on the thread',
      query: ThreadStreamQuery,
      headers: LAST_EVENT_ID,
      answer: EVENTS,
      errors: [410],
    },
    {
      method: 'post',
      path: '/threads/:thread_id/stream/events',
      summary: 'Protocol v2: events, from any position, then live',
      body: EventStreamBody,
      headers: LAST_EVENT_ID,
      answer: EVENTS,
      errors: [410],
    },
    {
      method: 'post',
      path: '/threads/:thread_id/commands',
      summary: 'Protocol v2: a command',
      description:
        'Answers `{type: "success", id, result}` or `{type: "error", id, error, message}`.',
      body: CommandBody,
      answer: json(Anything),
      errors: [404],
    },
  ],
};
