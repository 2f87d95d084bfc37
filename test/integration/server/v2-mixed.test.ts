/** Runs of protocol v2 and of the runs API on one thread, seen by readers of either; positions over broken attempts. */
import { createDeferred } from '../../../src/lib/deferred.ts';
import { protocolType } from '../../../src/protocol/event.ts';
import { createThread, newRun } from '../../support/app.ts';
import { submitRun } from '../../../src/runs/submit.ts';
import { playRun } from '../../support/play-run.ts';
import type { PlayedRun } from '../../support/play-run.ts';
import { holdArchive } from '../../support/archive-hold.ts';
import type { ArchiveHold } from '../../support/archive-hold.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { loseLease } from '../../support/app.ts';
import { openEvents, openSocket } from '../../support/v2-client.ts';
import type { EventStream } from '../../support/v2-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({
    redis: true,
    worker: false,
    environment: { SWEEPER_INTERVAL: '3600' },
  });
});
afterAll(() => app.stop());

async function begin(threadId: string): Promise<{ runId: string; run: PlayedRun }> {
  const { run_id: runId } = await submitRun(app.core.submit, newRun(app, threadId));
  return { runId, run: await playRun(app, runId) };
}

/** Writes as a worker does with a run of protocol v2. */
function tell(run: PlayedRun, data: object, namespace: string[] = []): void {
  const params = { namespace, timestamp: 1, data };
  run.emit(protocolType('values', namespace), { method: 'values', params });
}

const CHANNELS = { channels: ['values', 'updates', 'custom', 'lifecycle'] };
const until = (stream: { events: readonly unknown[] }, count: number): Promise<unknown> =>
  waitUntil(() => stream.events.length >= count, { timeoutMs: 20_000, what: `${count} events` });
const shown = (stream: EventStream): unknown[] =>
  stream.events.map(({ event_id: id, seq, method, params: { namespace, node, data } }) => [
    id,
    seq,
    method,
    namespace,
    node,
    data,
  ]);

test('of a run of the runs API, v2 readers see values, updates and custom events', async () => {
  const threadId = await createThread(app);
  const stream = await openEvents(app.url, threadId, CHANNELS);
  const { run, runId } = await begin(threadId);
  run.emit('metadata', { run_id: runId, attempt: 1 });
  run.emit('values', { n: 1 });
  run.emit('updates|sub:1', { node: { n: 2 } });
  run.emit('custom', 'word');
  run.emit('messages', [{}, {}]);
  run.emit('values', { n: 2, __interrupt__: [{ id: 'i', value: 1 }] });
  run.emit('updates', { __interrupt__: [{ id: 'i', value: 1 }] });
  run.emit('values', { __interrupt__: [] });
  await run.end();
  const next = await begin(threadId);
  tell(next.run, { n: 3 });
  await until(stream, 5);
  expect(shown(stream)).toEqual([
    ['2', 2, 'values', [], undefined, { n: 1 }],
    ['3', 3, 'updates', ['sub:1'], 'node', { n: 2 }],
    ['4', 4, 'custom', [], undefined, { payload: 'word' }],
    ['6', 6, 'values', [], undefined, { n: 2 }],
    ['9', 9, 'values', [], undefined, { n: 3 }],
  ]);
  stream.close();
  await next.run.end();
});

test('of a v2 run, v1 readers see the same as modes; the thread stream shows both kinds of run', async () => {
  const threadId = await createThread(app);
  const { run, runId } = await begin(threadId);
  run.emit('metadata', { run_id: runId, attempt: 1 });
  tell(run, { n: 1 });
  tell(run, { n: 2 }, ['sub:1']);
  const emit = (
    channel: Parameters<typeof protocolType>[0],
    params: object,
    name?: string,
  ): void => {
    run.emit(protocolType(channel, [], name), { method: channel, params });
  };
  emit('updates', { namespace: [], timestamp: 1, node: 'a', data: { n: 1 } });
  emit('custom', { namespace: [], timestamp: 1, data: { payload: 7 } });
  emit('custom', { namespace: [], timestamp: 1, data: { name: 'p', payload: 8 } }, 'p');
  emit('input', { namespace: [], timestamp: 1, data: { interrupt_id: 'i', payload: 'q' } });
  emit('messages', { namespace: [], timestamp: 1, data: { event: 'message-start' } });
  await run.end();
  const joined = await openSseClient(`${app.url}/threads/${threadId}/runs/${runId}/stream`);
  await waitUntil(() => joined.over, { timeoutMs: 20_000 });
  const v1 = [
    ['metadata', { run_id: runId, attempt: 1 }, '0'],
    ['values', { n: 1 }, '1'],
    ['values|sub:1', { n: 2 }, '2'],
    ['updates', { a: { n: 1 } }, '3'],
    ['custom', 7, '4'],
    ['custom', { name: 'p', payload: 8 }, '5'],
    ['updates', { __interrupt__: [{ id: 'i', value: 'q' }] }, '6'],
  ];
  expect(joined.frames.map(({ event, data, id }) => [event, data, id])).toEqual(v1);

  const other = await begin(threadId);
  other.run.emit('metadata', { run_id: other.runId, attempt: 1 });
  other.run.emit('values', { n: 9 });
  const url = `${app.url}/threads/${threadId}/stream`;
  const whole = await openSseClient(url);
  await waitUntil(() => whole.frames.length === 9, { timeoutMs: 20_000 });
  expect(whole.frames.map(({ event, data, id }) => [event, data, id])).toEqual([
    ...v1.map(([event, data, id]) => [event, data, String(Number(id) + 1)]),
    ['metadata', { run_id: other.runId, attempt: 1 }, '9'],
    ['values', { n: 9 }, '10'],
  ]);
  const lifecycle = await openSseClient(`${url}?stream_mode=lifecycle`);
  await waitUntil(() => lifecycle.frames.length === 2, { timeoutMs: 20_000 });
  const states = await openSseClient(`${url}?stream_mode=state_update&stream_mode=lifecycle`, {
    headers: { 'last-event-id': '7' },
  });
  await waitUntil(() => states.frames.length === 2, { timeoutMs: 20_000 });
  expect(states.frames.map(({ id }) => id)).toEqual(['9', '10']);
  expect((await app.call('GET', `/threads/${threadId}/stream?stream_mode=x`)).status).toBe(400);
  await other.run.end();
  for (const stream of [whole, lifecycle, states]) {
    expect(stream.over).toBeUndefined();
    stream.close();
  }
});

/** Waits until Postgres has the first two events of the thread; from then on it gets none of it. */
async function closeArchive(threadId: string): Promise<ArchiveHold> {
  const { pool } = app.core;
  await waitUntil(
    async () => {
      const { rows } = await pool.query<{ archived_seq: number }>(
        'SELECT archived_seq FROM threads WHERE thread_id = $1',
        [threadId],
      );
      return rows[0]?.archived_seq === 2;
    },
    { timeoutMs: 20_000, what: 'two archived events' },
  );
  return holdArchive(pool, threadId);
}

/** A run and a client of each kind, which have `events` of it: the first two are in Postgres, the others only in Redis. */
async function followed(events: number) {
  const threadId = await createThread(app);
  const stream = await openEvents(app.url, threadId, CHANNELS);
  const socket = await openSocket(app.url, threadId);
  await socket.send('subscription.subscribe', CHANNELS);
  const { run, runId } = await begin(threadId);
  for (let n = 1; n <= 2; n++) tell(run, { n });
  const hold = await closeArchive(threadId);
  for (let n = 3; n <= events; n++) tell(run, { n });
  await until(stream, events);
  await until(socket, events);
  return { threadId, stream, socket, run, runId, hold };
}

/** Redis and the worker die together: the log loses what only they had. */
async function lose(threadId: string, run: PlayedRun, hold: ArchiveHold): Promise<void> {
  await hold.caught();
  run.die();
  const { redis, keys } = app.core;
  const log = keys.log(threadId);
  await redis?.commands.del(log.meta, log.stream);
  await hold.releaseLosing();
  await loseLease(app, run.owner);
}

test('a client that has what the log lost is told so, and takes what comes under the same seq for new', async () => {
  const { threadId, stream, socket, run, runId, hold } = await followed(5);
  await lose(threadId, run, hold);
  const second = await playRun(app, runId);
  const start = second.owner.start;
  const { term } = second.owner;
  expect(start).toBe(3);
  tell(second, { n: 10 });
  await until(stream, 7);
  await until(socket, 7);
  const kept = start - 1;
  for (const events of [stream.events, socket.events]) {
    expect(events[5]).toMatchObject({
      method: 'lifecycle',
      params: { data: { event: 'running', rewind: { to: String(kept) } } },
    });
    expect(events[5]).not.toHaveProperty('event_id');
    expect(events[6]).toMatchObject({
      event_id: `${start}-${term}`,
      seq: start,
      params: { data: { n: 10 } },
    });
  }
  // The stream's own position went back, too.
  expect(stream.frames[5]?.id).toBe(String(kept));
  socket.ws.terminate();
  stream.close();

  // Whoever comes back with a lost id is told as well, with the body's since or with the header.
  for (const [body, headers] of [
    [CHANNELS, { 'last-event-id': '5' }],
    [{ ...CHANNELS, since: '5' }, {}],
  ] as const) {
    const late = await openEvents(app.url, threadId, body, headers);
    await until(late, 2);
    expect(late.events[0]?.params.data).toEqual({ event: 'running', rewind: { to: String(kept) } });
    expect(late.events[1]?.event_id).toBe(`${start}-${term}`);
    late.close();
  }
  // The id of the second attempt is good.
  const good = await openEvents(app.url, threadId, CHANNELS, {
    'last-event-id': `${start}-${term}`,
  });
  tell(second, { n: 11 });
  await until(good, 1);
  expect(good.events.map(({ event_id: id }) => id)).toEqual([`${start + 1}-${term}`]);
  good.close();
  await second.end();
  // The next run's ids cannot be those that were lost.
  const after = await begin(threadId);
  const last = await openEvents(app.url, threadId, { ...CHANNELS, since: start + 1 });
  tell(after.run, { n: 12 });
  await until(last, 1);
  expect(last.events[0]?.event_id).toBe(`${start + 2}-${after.run.owner.term}`);
  last.close();
  await after.run.end();
});

/** Holds back the answers of one statement, as a busy Postgres does. */
function holdAnswers(name: string): { readonly held: number; release(): void } {
  const { pool } = app.core;
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>;
  const gate = createDeferred();
  let held = 0;
  pool.query = (async (...args: unknown[]) => {
    const answer = await query(...args);
    if ((args[0] as { name?: string }).name === name) {
      held++;
      await gate.promise;
    }
    return answer;
  }) as typeof pool.query;
  return {
    get held() {
      return held;
    },
    release() {
      pool.query = query as typeof pool.query;
      gate.resolve();
    },
  };
}

test('what comes in the place of lost events is told after their loss, however long that takes to look up', async () => {
  const { threadId, stream, socket, run, runId, hold } = await followed(3);
  const looks = holdAnswers('thread-term-at-seq');
  try {
    await lose(threadId, run, hold);
    const second = await playRun(app, runId);
    tell(second, { n: 10 });
    await waitUntil(() => looks.held >= 2, { timeoutMs: 20_000, what: 'both look up the id' });
    // It has lost nothing; what it gets the others would have by then, if nothing held them.
    const witness = await openEvents(app.url, threadId, { ...CHANNELS, since: 2 });
    tell(second, { n: 11 });
    await until(witness, 2);
    witness.close();
    looks.release();
    for (const client of [stream, socket]) {
      await until(client, 6);
      const after = client.events.slice(3).map(({ method, seq }) => [method, seq]);
      expect(after).toEqual([
        ['lifecycle', undefined],
        ['values', 3],
        ['values', 4],
      ]);
    }
    await second.end();
  } finally {
    looks.release();
    stream.close();
    socket.ws.terminate();
  }
});

test('a subscription that comes while a loss is being looked up takes nothing of its news away', async () => {
  const { stream, socket, run, runId, threadId, hold } = await followed(3);
  stream.close();
  const looks = holdAnswers('thread-term-at-seq');
  try {
    await lose(threadId, run, hold);
    const second = await playRun(app, runId);
    tell(second, { n: 10 });
    await waitUntil(() => looks.held >= 1, { timeoutMs: 20_000, what: 'the id to be looked up' });
    await socket.send('subscription.subscribe', { channels: ['custom'] });
    looks.release();
    await until(socket, 5);
    expect(socket.events.slice(3).map(({ method, seq }) => [method, seq])).toEqual([
      ['lifecycle', undefined],
      ['values', 3],
    ]);
    await second.end();
  } finally {
    looks.release();
    socket.ws.terminate();
  }
});

test('a rolled back run leaves no hole and no event', async () => {
  const threadId = await createThread(app);
  const first = await begin(threadId);
  tell(first.run, { n: 1 });
  await first.run.end();
  const second = await begin(threadId);
  tell(second.run, { n: 2 });
  await second.run.rollBack();
  const third = await begin(threadId);
  tell(third.run, { n: 3 });
  const stream = await openEvents(app.url, threadId, CHANNELS);
  await until(stream, 2);
  expect(stream.events.map(({ seq }) => seq)).toEqual([1, 3]);
  stream.close();
  await third.run.end();
});
