/** What the files of test/e2e/api share: clients of the deployment behind the load balancer. */
import { randomUUID } from 'node:crypto';
import { Client } from '@langchain/langgraph-sdk';
import { createPool } from '../../src/postgres/pool.ts';
import type { Pool } from '../../src/postgres/pool.ts';
import { openSseClient } from './sse-client.ts';
import type { SseClient } from './sse-client.ts';
import { waitUntil } from './wait-until.ts';

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: see api-setup.mjs`);
  return value;
}

/** Of the load balancer. */
export const url = variable('TEST_API_URL');
export const langSmithUrl = variable('TEST_API_LANGSMITH_URL');

/** Every request goes to the other server than the one before. */
export const client = new Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body parsed; throws when it is no JSON. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- says what a test expects
  json<T = Record<string, unknown>>(): T;
}

/** Plain HTTP. */
export async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as above
    json: <T>() => JSON.parse(text) as T,
  };
}

export const said = (text: string): { messages: object[] } => ({
  messages: [{ role: 'user', content: text }],
});

export interface Part {
  id?: string;
  event: string;
  data: unknown;
}

export async function collect(stream: AsyncIterable<unknown>): Promise<Part[]> {
  const parts: Part[] = [];
  for await (const part of stream) parts.push(part as Part);
  return parts;
}

/** A stream by plain HTTP. */
export const openStream = (
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<SseClient> =>
  openSseClient(url + path, {
    ...(body === undefined
      ? { headers }
      : {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify(body),
        }),
  });

export const newThread = async (metadata: Record<string, unknown> = {}): Promise<string> =>
  (await client.threads.create({ metadata })).thread_id;

/** A thread whose run of `graphId` has ended, whatever with. */
export async function ranThread(graphId: string, input: object): Promise<string> {
  const threadId = await newThread();
  await client.runs.wait(threadId, graphId, { input: { ...input }, raiseError: false });
  return threadId;
}

/** Input of `counter`: custom events, so many, so many ms apart. */
export const counting = (
  steps: number,
  delayMs: number,
  deaf = false,
): Record<string, unknown> => ({
  steps,
  delayMs,
  deaf,
});

export const statusOf = async (threadId: string, runId: string): Promise<string> =>
  (await client.runs.get(threadId, runId)).status;

/** A run of `counter` that is in its first node, its first checkpoint stored. */
export async function runningRun(threadId: string, deaf = false): Promise<string> {
  const run = await client.runs.create(threadId, 'counter', {
    input: counting(600, 100, deaf),
    streamMode: ['custom', 'values'],
  });
  await waitUntil(
    async () =>
      (await statusOf(threadId, run.run_id)) === 'running' &&
      (await client.threads.getState(threadId)).next.includes('count'),
    { timeoutMs: 30_000, what: 'the run to count' },
  );
  return run.run_id;
}

/** Unique, to find one's own things in the shared deployment. */
export const mark = (): string => randomUUID();

let pool: Pool | undefined;
/** The deployment's database, for what no client can do: make a cron due. End it with `closeDatabase`. */
export const database = (): Pool =>
  (pool ??= createPool(
    { url: variable('TEST_API_DATABASE_URL'), connectionsMax: 2, name: 'millrace-test-api' },
    () => undefined,
  ));
export const closeDatabase = async (): Promise<void> => {
  await pool?.end();
};
