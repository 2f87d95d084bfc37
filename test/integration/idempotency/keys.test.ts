/** Requests that are sent again with their Idempotency-Key: every endpoint that makes runs. */
import { randomUUID } from 'node:crypto';
import { transaction } from '../../../src/postgres/pool.ts';
import type { Db } from '../../../src/postgres/pool.ts';
import { createServer } from '../../../src/server/server.ts';
import { deleteExpiredKeys } from '../../../src/runs/submit-once.ts';
import { createCoreBeside } from '../../support/core-beside.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import type { Answer, TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import type { SseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

const WAIT = { timeoutMs: 20_000 };

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: false, worker: false });
});
afterAll(() => app.stop());

const BODY = { assistant_id: 'test', input: { text: 'hi' } };

const post = (path: string, key: string, body: unknown = BODY): Promise<Answer> =>
  app.call('POST', path, body, { 'idempotency-key': key });

const runIdOf = (answer: Answer): string => (answer.json() as { run_id: string }).run_id;

async function newThread(): Promise<string> {
  const thread = (await app.call('POST', '/threads', {})).json() as { thread_id: string };
  return thread.thread_id;
}

async function runCount(): Promise<number> {
  const { rows } = await app.core.pool.query<{ n: number }>('SELECT count(*)::int AS n FROM runs');
  return rows[0]?.n ?? 0;
}

test('[17] fifty at once, over two servers: one run, fifty same answers', async () => {
  const core = await createCoreBeside(app);
  await core.start();
  const other = createServer(core);
  await other.start();
  try {
    for (const path of ['/runs', `/threads/${await newThread()}/runs`]) {
      const before = await runCount();
      const key = randomUUID();
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          const url = i % 2 === 0 ? app.url : `http://127.0.0.1:${other.port}`;
          const response = await fetch(url + path, {
            method: 'POST',
            headers: { 'content-type': 'application/json', 'idempotency-key': key },
            body: JSON.stringify(BODY),
          });
          return {
            status: response.status,
            place: response.headers.get('content-location'),
            replayed: response.headers.get('idempotent-replayed'),
            text: await response.text(),
          };
        }),
      );
      expect(
        new Set(answers.map(({ text, status, place }) => `${status} ${place ?? ''} ${text}`)).size,
      ).toBe(1);
      expect(answers[0]?.status).toBe(200);
      expect(answers.filter(({ replayed }) => replayed === null)).toHaveLength(1);
      expect(await runCount()).toBe(before + 1);
    }
  } finally {
    await other.stop();
    await core.stop();
  }
});

test('the answer stays the first one when the run has ended since', async () => {
  const key = randomUUID();
  const first = await post('/runs', key);
  await (await playRun(app, runIdOf(first))).end();
  expect((await post('/runs', key)).text).toBe(first.text);
});

test('another body is refused, another key or thread is another run', async () => {
  const [key, a, b] = [randomUUID(), await newThread(), await newThread()];
  const first = await post(`/threads/${a}/runs`, key);
  const mismatch = await post(`/threads/${a}/runs`, key, { ...BODY, input: { text: 'ho' } });
  expect([mismatch.status, mismatch.text]).toEqual([
    422,
    'Idempotency-Key was used with another body: use a new key for a new request',
  ]);
  const ids = [
    first,
    await post(`/threads/${b}/runs`, key),
    await post('/runs', key),
    await post(`/threads/${a}/runs`, randomUUID()),
    await app.call('POST', `/threads/${a}/runs`, BODY),
  ].map(runIdOf);
  expect(new Set(ids).size).toBe(5);
});

test.each(['', 'k'.repeat(256)])('a key of %# is refused', async (key) => {
  expect((await post('/runs', key)).status).toBe(400);
});

test('a request that failed has not used its key', async () => {
  const [key, threadId] = [randomUUID(), await newThread()];
  const path = `/threads/${threadId}/runs`;
  const body = { ...BODY, multitask_strategy: 'reject' };
  const active = runIdOf(await app.call('POST', path, BODY));
  expect((await post(path, key, body)).status).toBe(409);
  await (await playRun(app, active)).end();
  expect((await post(path, key, body)).status).toBe(200);
});

test('a stream that is asked for again is the same stream, from its start', async () => {
  const key = randomUUID();
  const open = (): Promise<SseClient> =>
    openSseClient(`${app.url}/runs/stream`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(BODY),
    });
  const first = await open();
  const place = first.headers.get('content-location') ?? '';
  const run = await playRun(app, place.split('/')[2] ?? '');
  run.emit('metadata', { run_id: 'x', attempt: 1 });
  run.emit('values', { n: 1 });
  await waitUntil(() => first.frames.length === 2, WAIT);
  const during = await open();
  await waitUntil(() => during.frames.length === 2, WAIT);
  run.emit('values', { n: 2 });
  await run.end();
  const after = await open();
  for (const stream of [first, during, after]) await waitUntil(() => stream.over, WAIT);
  expect(first.frames.map(({ id }) => id)).toEqual(['0', '1', '2']);
  // On a slow machine it takes long enough for heartbeats.
  const bytes = ({ text }: SseClient): string => text.replaceAll(': heartbeat\n', '');
  for (const stream of [during, after]) {
    expect(bytes(stream)).toBe(bytes(first));
    expect(stream.headers.get('content-location')).toBe(place);
    expect(stream.headers.get('idempotent-replayed')).toBe('true');
  }
});

test('a second run of a thread streams its own events when it is asked for again', async () => {
  const [key, threadId] = [randomUUID(), await newThread()];
  const path = `/threads/${threadId}/runs`;
  const earlier = await playRun(app, runIdOf(await app.call('POST', path, BODY)));
  earlier.emit('values', { n: 'earlier' });
  await earlier.end();
  const run = await playRun(app, runIdOf(await post(path, key)));
  run.emit('values', { n: 'own' });
  await run.end();
  const again = await openSseClient(`${app.url}${path}/stream`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(BODY),
  });
  await waitUntil(() => again.over, WAIT);
  expect(again.frames).toEqual([{ event: 'values', data: { n: 'own' }, id: '0' }]);
});

test('a wait that is asked for again has the same end, before and after it', async () => {
  const [key, threadId] = [randomUUID(), await newThread()];
  const path = `/threads/${threadId}/runs/wait`;
  const waits = [post(path, key), post(path, key)];
  const runId = await waitUntil(async () => {
    const { rows } = await app.core.pool.query<{ run_id: string }>(
      'SELECT run_id FROM runs WHERE thread_id = $1',
      [threadId],
    );
    return rows[0]?.run_id;
  }, WAIT);
  const run = await playRun(app, runId);
  await run.end({ output: '{"answer":42}' });
  waits.push(post(path, key));
  for (const wait of waits) expect((await wait).json()).toEqual({ answer: 42 });
});

test('a batch is made once, all of it, in its order', async () => {
  const key = randomUUID();
  const bodies = Array.from({ length: 5 }, (_, i) => ({ ...BODY, input: { i } }));
  const before = await runCount();
  const [first, ...others] = await Promise.all([
    post('/runs/batch', key, bodies),
    post('/runs/batch', key, bodies),
    post('/runs/batch', key, bodies),
  ]);
  for (const other of others) expect(other.text).toBe(first.text);
  const inputs = (first.json() as { kwargs: { input: { i: number } } }[]).map(
    (run) => run.kwargs.input.i,
  );
  expect(inputs).toEqual([0, 1, 2, 3, 4]);
  expect(await runCount()).toBe(before + 5);
  expect((await post('/runs/batch', key, bodies.slice(1))).status).toBe(422);
});

test('a run that was removed since is not made again', async () => {
  const [key, threadId] = [randomUUID(), await newThread()];
  const path = `/threads/${threadId}/runs`;
  const runId = runIdOf(await post(path, key));
  await (await playRun(app, runId)).end();
  expect((await app.call('DELETE', `${path}/${runId}`)).status).toBe(204);
  const again = await post(path, key);
  expect(again.status).toBe(404);
  expect(again.text).toContain('removed since');
});

test('after a day a key is free, swept or not', async () => {
  const { pool } = app.core;
  const [key, swept] = [randomUUID(), randomUUID()];
  const age = (keys: string[], hours: number, db: Db = pool): Promise<unknown> =>
    db.query(
      `UPDATE idempotency_keys SET created_at = now() - $2 * interval '1 hour' WHERE key = ANY($1)`,
      [keys, hours],
    );
  const first = runIdOf(await post('/runs', key));
  await age([key], 23.9);
  expect(runIdOf(await post('/runs', key))).toBe(first);
  await age([key], 24.1);
  const second = runIdOf(await post('/runs', key, { ...BODY, input: 'another' }));
  expect(second).not.toBe(first);
  expect(runIdOf(await post('/runs', key, { ...BODY, input: 'another' }))).toBe(second);

  await post('/runs', swept);
  // In one transaction: the process' own sweeper removes it, too.
  await transaction(pool, async (db) => {
    await age([swept], 24.1, db);
    expect(await deleteExpiredKeys(db)).toBe(1);
  });
  const { rows } = await pool.query('SELECT 1 FROM idempotency_keys WHERE key = $1', [key]);
  expect(rows).toHaveLength(1);
});
