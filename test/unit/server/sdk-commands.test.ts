/** What the installed SDK's thread streams send as commands of protocol v2, held against the schemas that validate it. */
import { Client } from '@langchain/langgraph-sdk';
import type { z } from 'zod';
import {
  CommandBody,
  EventStreamBody,
  RespondParams,
  RunStartParams,
  StateGetParams,
} from '../../../src/server/v2/schemas.ts';

const ID = '00000000-0000-4000-8000-000000000000';

const commands: { id: number; method: string; params?: unknown }[] = [];
const filters: unknown[] = [];
const client = new Client({ apiUrl: 'http://server', apiKey: null });
const send = ((address: string | URL | Request, init: RequestInit = {}) => {
  const { pathname } = new URL(address instanceof Request ? address.url : address);
  const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : undefined;
  if (pathname.endsWith('/stream/events')) {
    filters.push(body);
    const open = new ReadableStream({
      start(controller) {
        init.signal?.addEventListener('abort', () => {
          controller.close();
        });
      },
    });
    return Promise.resolve(
      new Response(open, { headers: { 'content-type': 'text/event-stream' } }),
    );
  }
  if (!pathname.endsWith('/commands')) return Promise.resolve(Response.json({}));
  commands.push(body as (typeof commands)[number]);
  const { id } = body as { id: number };
  return Promise.resolve(Response.json({ type: 'success', id, result: { run_id: ID } }));
}) as typeof fetch;

type Thread = ReturnType<Client['threads']['stream']>;
const CALLS: Record<string, { send(thread: Thread): Promise<unknown>; params: z.ZodType }> = {
  'run.start': {
    send: (thread) =>
      thread.run.start({
        input: { n: 1 },
        config: { configurable: { a: 1 }, tags: ['t'], recursion_limit: 5 },
        metadata: { m: 1 },
        multitaskStrategy: 'reject',
        forkFrom: ID,
      } as never),
    params: RunStartParams,
  },
  'input.respond': {
    send: (thread) =>
      thread.input.respond({
        namespace: ['a:1'],
        interrupt_id: 'i',
        response: true,
        update: { n: 2 },
        goto: 'b',
        config: {},
        metadata: {},
      }),
    params: RespondParams,
  },
  'state.get': {
    send: (thread) => thread.state.get({ namespace: [], keys: ['n'] }),
    params: StateGetParams,
  },
};

test.each(Object.keys(CALLS))(
  '%s: its parameters are those that the server knows',
  async (name) => {
    const call = CALLS[name];
    if (call === undefined) throw new Error(name);
    const thread = client.threads.stream(ID, { assistantId: 'test', fetch: send });
    commands.length = 0;
    await call.send(thread);
    const sent = commands.find(({ method }) => method === name);
    expect(CommandBody.safeParse(sent)).toMatchObject({ success: true });
    expect(call.params.safeParse(sent?.params)).toMatchObject({ success: true });
    // A key that nobody knows would not get through.
    const more = { ...(sent?.params as object), nobody_knows: 1 };
    expect(call.params.safeParse(more).success).toBe(false);
    await thread.close();
    for (const filter of filters)
      expect(EventStreamBody.safeParse(filter)).toMatchObject({ success: true });
  },
);
