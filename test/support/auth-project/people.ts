/** The users of this project, as clients of a test server. */
import { fileURLToPath } from 'node:url';
import { startTestServer } from '../server.ts';
import type { Answer, TestServer } from '../server.ts';

export const PROJECT = fileURLToPath(new URL('./langgraph.json', import.meta.url));

export const startAuthServer = (
  options: Partial<Parameters<typeof startTestServer>[0]> = {},
): Promise<TestServer> => startTestServer({ redis: false, file: PROJECT, ...options });

export type Call = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** @param name undefined: nobody */
export const as =
  (server: TestServer, name: string | undefined): Call =>
  (method, path, body) =>
    server.call(method, path, body, name === undefined ? {} : { 'x-api-key': name });

/** One thing of each kind, all of one user. */
export type Belongings = Record<
  | 'thread_id'
  | 'run_id'
  // Of a stateless run.
  | 'hidden_thread_id'
  | 'hidden_run_id'
  | 'assistant_id'
  | 'cron_id'
  | 'delivery_id'
  | 'checkpoint_id',
  string
>;

/** @param webhook where a run's end is told */
export async function makeBelongings(call: Call, webhook: string): Promise<Belongings> {
  async function make<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await call(method, path, body);
    if (answer.status !== 200)
      throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.json() as T;
  }
  const { thread_id } = await make<{ thread_id: string }>('POST', '/threads', {});
  const { assistant_id } = await make<{ assistant_id: string }>('POST', '/assistants', {
    graph_id: 'agent',
  });
  const runs = `/threads/${thread_id}/runs`;
  const { run_id } = await make<{ run_id: string }>('POST', runs, {
    assistant_id,
    input: { n: 1 },
    webhook,
  });
  await make('GET', `${runs}/${run_id}/join`);
  const hidden = await make<{ thread_id: string; run_id: string }>('POST', '/runs', {
    assistant_id: 'agent',
    input: { n: 1 },
  });
  await make('GET', `/threads/${hidden.thread_id}/runs/${hidden.run_id}/join`);
  const { cron_id } = await make<{ cron_id: string }>('POST', `/threads/${thread_id}/runs/crons`, {
    assistant_id,
    schedule: '0 0 1 1 *',
  });
  const [delivery] = await make<{ delivery_id: string }[]>(
    'GET',
    `/webhooks/deliveries?run_id=${run_id}`,
  );
  const { checkpoint } = await make<{ checkpoint: { checkpoint_id: string } }>(
    'GET',
    `/threads/${thread_id}/state`,
  );
  const put = await call('PUT', '/store/items', {
    namespace: ['notes'],
    key: 'k',
    value: { run_id },
  });
  if (put.status !== 204) throw new Error(`store: ${put.status} ${put.text}`);
  return {
    thread_id,
    run_id,
    hidden_thread_id: hidden.thread_id,
    hidden_run_id: hidden.run_id,
    assistant_id,
    cron_id,
    delivery_id: delivery?.delivery_id ?? '',
    checkpoint_id: checkpoint.checkpoint_id,
  };
}
