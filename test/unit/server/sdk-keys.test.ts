/**
 * What the installed SDK can send, held against the schemas that validate it: a key is taken or it would be
 * refused, so one that a new SDK sends and nobody honours shows up here and not at a user's.
 */
import { readFileSync } from 'node:fs';
import { Client } from '@langchain/langgraph-sdk';
import { z } from 'zod';
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
  new Proxy({}, {
    get: (_, name) => (typeof name === 'string' && name in FIXED ? FIXED[name] : `any ${String(name)}`),
  }) as never;

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
  'runs.createBatch': () => runs.createBatch([{ assistantId: ID, ifNotExists: 'create', afterSeconds: 1 }]),
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
