/** The rows of what concerns the server itself. */
import { z } from 'zod';
import { MetricsQuery, OkQuery, TruncateBody } from '../schemas/system.ts';
import { UiAsk } from '../schemas/ui.ts';
import { json } from './operation.ts';
import type { Noun } from './operation.ts';
import { Anything } from './views.ts';

export const system: Noun = {
  tag: 'System',
  description: 'For load balancers, operators and clients.',
  operations: [
    {
      method: 'get',
      path: '/ok',
      summary: 'Whether the server answers',
      query: OkQuery,
      answer: json(z.strictObject({ ok: z.literal(true) })),
    },
    {
      method: 'get',
      path: '/info',
      summary: 'Versions and abilities',
      answer: json(
        z.looseObject({ version: z.string(), flags: z.record(z.string(), z.boolean()) }),
      ),
    },
    {
      method: 'get',
      path: '/health',
      summary: 'State of Postgres and Redis',
      description: '503 when Postgres does not answer.',
      answer: json(z.looseObject({ status: z.enum(['healthy', 'unhealthy']) })),
    },
    {
      method: 'get',
      path: '/metrics',
      summary: 'Metrics for Prometheus, or as JSON',
      query: MetricsQuery,
      answer: { status: 200, type: 'text/plain', text: 'Prometheus text format 0.0.4' },
    },
    {
      method: 'post',
      path: '/ui/:agent',
      summary: "HTML that loads one of the graph's own React components",
      description:
        'For LoadExternalComponent, which puts its own id in place of `{{shadowRootId}}`.',
      body: UiAsk,
      answer: { status: 200, type: 'text/html', text: 'Links and a script' },
      errors: [404],
    },
    {
      method: 'get',
      path: '/ui/:agent/:file',
      summary: 'A file of the bundle of components',
      answer: { status: 200, type: 'text/javascript', text: 'The file, also CSS' },
      errors: [404],
    },
    {
      method: 'get',
      path: '/metrics/workers',
      summary: 'How many workers the backlog asks for',
      description:
        'For autoscalers: threads with a run that is running or due, divided by the slots of a worker.',
      answer: json(z.looseObject({ workers_wanted: z.int(), workers_alive: z.int() })),
    },
    {
      method: 'get',
      path: '/ready',
      summary: 'Whether runs get done',
      description:
        '503 when Postgres is away, no worker lives, or a run has waited for one for too long.',
      answer: json(
        z.looseObject({ status: z.enum(['ready', 'not ready']), wrong: z.array(z.string()) }),
      ),
    },
    {
      method: 'post',
      path: '/internal/truncate',
      summary: 'Empty the deployment',
      description: 'Only of servers with NODE_ENV `development` or `test`; 404 of all others.',
      body: TruncateBody,
      answer: json(z.strictObject({ ok: z.literal(true) })),
    },
    { method: 'get', path: '/openapi.json', summary: 'This document', answer: json(Anything) },
    {
      method: 'get',
      path: '/docs',
      summary: 'This document as a page',
      answer: { status: 200, type: 'text/html', text: 'A page that needs nothing else' },
    },
  ],
};
