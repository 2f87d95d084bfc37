/**
 * What the installed SDK can send, held against the schemas that validate it: a key is taken or it would be
 * refused, so one that a new SDK sends and nobody honours shows up here and not at a user's.
 */
import { readFileSync } from 'node:fs';
import { Client } from '@langchain/langgraph-sdk';
import type { z } from 'zod';
import { NOUNS } from '../../../src/server/openapi/nouns.ts';
import type { Operation } from '../../../src/server/openapi/operation.ts';
import { RunCreate } from '../../../src/server/schemas/run.ts';

interface Sent {
  method: string;
  path: string;
  query: string[];
  body: unknown;
}

const ID = '00000000-0000-4000-8000-000000000000';
/** Options that do not go over the wire, or must be of a kind for the SDK to send them. */
const FIXED: Record<string, unknown> = {
  signal: undefined,
  onRunCreated: undefined,
  streamIdleReconnect: undefined,
  then: undefined,
  toJSON: undefined,
  lastEventId: undefined,
  ttl: 5,
  supersteps: [{ updates: [{ values: {}, command: {}, asNode: 'a' }] }],
  threadId: ID,
  runIds: [ID],
};
/** An option object that has every option, so that the SDK sends all it can. */
const everything = (): never =>
  new Proxy(
    {},
    {
      get: (_, name) =>
        typeof name === 'string' && name in FIXED ? FIXED[name] : `any ${String(name)}`,
    },
  ) as never;

let sent: Sent[] = [];
const client = new Client({
  apiUrl: 'http://server',
  apiKey: null,
  callerOptions: {
    maxRetries: 0,
    fetch: (address: string, init: RequestInit) => {
      const { pathname, searchParams } = new URL(address);
      sent.push({
        method: (init.method ?? 'GET').toLowerCase(),
        path: pathname,
        query: [...searchParams.keys()],
        body: typeof init.body === 'string' ? (JSON.parse(init.body) as unknown) : undefined,
      });
      const streams = pathname.endsWith('/stream');
      return Promise.resolve(
        streams
          ? new Response('', { headers: { 'content-type': 'text/event-stream' } })
          : Response.json(pathname.endsWith('/search') ? { items: [] } : {}),
      );
    },
  },
});

const drain = async (stream: AsyncIterable<unknown>): Promise<void> => {
  const iterator = stream[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
};

const { assistants, threads, runs, store } = client;
const CALLS: Record<string, () => Promise<unknown>> = {
  'assistants.get': () => assistants.get(ID),
  'assistants.getGraph': () => assistants.getGraph(ID, everything()),
  'assistants.getSchemas': () => assistants.getSchemas(ID),
  'assistants.getSubgraphs': () => assistants.getSubgraphs(ID, everything()),
  'assistants.create': () => assistants.create(everything()),
  'assistants.update': () => assistants.update(ID, everything()),
  'assistants.delete': () => assistants.delete(ID, everything()),
  'assistants.search': () => assistants.search(everything()),
  'assistants.count': () => assistants.count(everything()),
  'assistants.getVersions': () => assistants.getVersions(ID, everything()),
  'assistants.setLatest': () => assistants.setLatest(ID, 1),
  'threads.get': () => threads.get(ID, everything()),
  'threads.create': () => threads.create(everything()),
  'threads.copy': () => threads.copy(ID),
  'threads.update': () => threads.update(ID, everything()),
  'threads.delete': () => threads.delete(ID),
  'threads.prune': () => threads.prune([ID], everything()),
  'threads.search': () => threads.search(everything()),
  'threads.count': () => threads.count(everything()),
  'threads.getState': () => threads.getState(ID, undefined, everything()),
  'threads.updateState': () => threads.updateState(ID, everything()),
  'threads.patchState': () => threads.patchState(ID, {}),
  'threads.getHistory': () => threads.getHistory(ID, everything()),
  'threads.joinStream': () => drain(threads.joinStream(ID, everything())),
  'runs.stream': () => drain(runs.stream(ID, ID, everything())),
  'runs.create': () => runs.create(ID, ID, everything()),
  'runs.createBatch': () =>
    runs.createBatch([{ assistantId: ID, ifNotExists: 'create', afterSeconds: 1 }]),
  'runs.wait': () => runs.wait(ID, ID, everything()),
  'runs.list': () => runs.list(ID, everything()),
  'runs.get': () => runs.get(ID, ID),
  'runs.cancel': () => runs.cancel(ID, ID, true, 'rollback'),
  'runs.cancelMany': () => runs.cancelMany({ threadId: ID, runIds: [ID], action: 'rollback' }),
  'runs.join': () => runs.join(ID, ID, everything()),
  'runs.joinStream': () => drain(runs.joinStream(ID, ID, everything())),
  'runs.delete': () => runs.delete(ID, ID),
  'store.putItem': () => store.putItem(['a'], 'k', {}, everything()),
  'store.getItem': () => store.getItem(['a'], 'k', everything()),
  'store.deleteItem': () => store.deleteItem(['a'], 'k'),
  'store.searchItems': () => store.searchItems(['a'], everything()),
  'store.listNamespaces': () => store.listNamespaces(everything()),
};

const { crons } = client;
Object.assign(CALLS, {
  'crons.create': () => crons.create(ID, everything()),
  'crons.createForThread': () => crons.createForThread(ID, ID, everything()),
  'crons.update': () => crons.update(ID, everything()),
  'crons.delete': () => crons.delete(ID),
  'crons.search': () => crons.search(everything()),
  'crons.count': () => crons.count(everything()),
});

/** Sent, and refused on purpose. */
const REFUSED: Record<string, string[]> = {};

function rowOf({ method, path }: Sent): Operation {
  const rows = NOUNS.flatMap((noun) => noun.operations).filter(
    (row) =>
      row.method === method && new RegExp(`^${row.path.replaceAll(/:\w+/g, '[^/]+')}$`).test(path),
  );
  // Literal segments win, as in the router: /runs/crons is no run.
  const [row] = rows.sort((a, b) => a.path.split(':').length - b.path.split(':').length);
  if (row === undefined) throw new Error(`no route for ${method} ${path}`);
  return row;
}

/** Keys that no branch of the schema knows. */
function unknownKeys(issues: readonly z.core.$ZodIssue[]): string[] {
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys;
    return issue.code === 'invalid_union' ? issue.errors.flatMap(unknownKeys) : [];
  });
}

beforeEach(() => {
  sent = [];
});

test.each(Object.keys(CALLS))('%s: every key it sends is known', async (name) => {
  await CALLS[name]?.();
  expect(sent).toHaveLength(1);
  for (const request of sent) {
    const { query, body } = rowOf(request);
    expect(Object.keys(query?.shape ?? {})).toEqual(expect.arrayContaining(request.query));
    if (body === undefined) expect(request.body).toBeUndefined();
    else {
      const parsed = body.safeParse(request.body ?? {});
      const unknown = parsed.success ? [] : unknownKeys(parsed.error.issues);
      expect(unknown).toEqual(REFUSED[name] ?? []);
    }
  }
});

test('the list has every call of the SDK', () => {
  const streams = ['threads.stream', 'crons.stream'];
  const known = Object.entries({ assistants, threads, runs, crons, store }).flatMap(
    ([name, part]) =>
      Object.getOwnPropertyNames(Object.getPrototypeOf(part))
        .filter((method) => method !== 'constructor')
        .map((method) => `${name}.${method}`),
  );
  expect(known.filter((call) => !(call in CALLS) && !streams.includes(call))).toEqual([]);
});

test('a run has the fields that the SDK can give it, and no more than are honoured', async () => {
  await runs.create(ID, ID, everything());
  await runs.wait(ID, ID, everything());
  await drain(runs.stream(ID, ID, everything()));
  const keys = new Set(sent.flatMap(({ body }) => Object.keys(body as object)));
  expect([...keys].filter((key) => !(key in RunCreate.shape))).toEqual([]);
  expect(keys).toContain('durability');
});

test('the version is the one that is installed', () => {
  const file = new URL(
    '../../../node_modules/@langchain/langgraph-sdk/package.json',
    import.meta.url,
  );
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  expect(version).toBe('1.12.1');
});
