/** Events from the archive to a consumer group, whatever its receiver does. */
import { createHmac } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { deleteOldDeadLetters } from '../../../src/consumer-groups/dead-letters.ts';
import { deleteExpiredThreads } from '../../../src/runs/retention.ts';
import { createCoreBeside } from '../../support/core-beside.ts';
import { playRun } from '../../support/play-run.ts';
import type { PlayedRun } from '../../support/play-run.ts';
import { startReceiver, status } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const SECRET = 'a secret of our own';
const ATTEMPTS_MAX = 3;
const WAIT = { timeoutMs: 20_000 };

interface Event {
  id: string;
  seq: number;
  run_id: string;
  type: string;
  data: unknown;
}
interface DeadLetter {
  dead_letter_id: string;
  event_id: string;
  data: unknown;
  error: string;
  attempts: number;
  status: string;
}

describe.each(['redis', 'no redis'] as const)('%s', (mode) => {
  let app: TestServer;
  let receiver: Receiver;
  const names: string[] = [];
  beforeAll(async () => {
    app = await startTestServer({
      redis: mode === 'redis',
      worker: false,
      environment: {
        WEBHOOK_ALLOW: '127.0.0.1',
        WEBHOOK_SECRET: SECRET,
        // A late answer is a second delivery.
        // Not a whole number of ms, as 1.005 is none.
        WEBHOOK_TIMEOUT_SECS: '10.0005',
        WEBHOOK_RETRY_SECS: '0.05',
        WEBHOOK_MAX_ATTEMPTS: String(ATTEMPTS_MAX),
        SWEEPER_INTERVAL: '0.05',
      },
    });
    receiver = await startReceiver();
  });
  afterAll(async () => {
    await app.stop();
    await receiver.stop();
  });
  afterEach(async () => {
    for (const name of names.splice(0)) await app.call('DELETE', `/consumer-groups/${name}`);
    receiver.received.length = 0;
    receiver.answers.length = 0;
  });

  async function createGroup(name: string, given: object = {}): Promise<void> {
    const body = { name, url: `${receiver.url}/${name}`, ...given };
    const answer = await app.call('POST', '/consumer-groups', body);
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining(name)]);
    names.push(name);
  }

  async function createThread(): Promise<string> {
    const answer = await app.call('POST', '/threads', {});
    return (answer.json() as { thread_id: string }).thread_id;
  }

  async function begin(threadId: string): Promise<PlayedRun> {
    const answer = await app.call('POST', `/threads/${threadId}/runs`, { assistant_id: 'test' });
    return playRun(app, (answer.json() as { run_id: string }).run_id);
  }

  /** A whole run with these events. */
  async function run(threadId: string, ...data: unknown[]): Promise<void> {
    const played = await begin(threadId);
    for (const one of data) played.emit('custom', one);
    await played.end();
  }

  const eventsOf = (name: string): Event[] =>
    receiver.of(`/${name}`).flatMap(({ body }) => body['events'] as Event[]);
  const dataOf = (name: string): unknown[] => eventsOf(name).map(({ data }) => data);
  const letters = async (name: string): Promise<DeadLetter[]> =>
    (await app.call('GET', `/consumer-groups/${name}/dead-letters`)).json() as DeadLetter[];

  test('every event of a thread in its order, signed, while the run goes on and after it', async () => {
    await createGroup('all');
    const threadId = await createThread();
    const played = await begin(threadId);
    const numbers = Array.from({ length: 250 }, (_, n) => n);
    for (const n of numbers.slice(0, 120)) played.emit('custom', n);
    await waitUntil(() => dataOf('all').length === 120, WAIT);
    for (const n of numbers.slice(120)) played.emit('custom', n);
    await played.end();
    await run(threadId, 'next run', { text: '\0 \u2028' });
    await waitUntil(() => dataOf('all').length >= 252, WAIT);
    expect(dataOf('all')).toEqual([...numbers, 'next run', { text: '\0 \u2028' }]);
    const [first] = receiver.of('/all') as [Receiver['received'][number]];
    expect(first.body).toMatchObject({ consumer_group: 'all', thread_id: threadId, replay: false });
    const [event] = eventsOf('all') as [Event];
    expect(event).toEqual({
      id: `${threadId}:1-${played.owner.term}`,
      seq: 1,
      term: played.owner.term,
      run_id: played.owner.runId,
      assistant_id: expect.any(String) as string,
      type: 'custom',
      data: 0,
    });
    const { headers, text } = first;
    const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${text}`;
    expect(headers['webhook-signature']).toBe(
      `v1,${createHmac('sha256', SECRET).update(signed).digest('base64')}`,
    );
    // Batches are bounded.
    for (const { body } of receiver.of('/all'))
      expect((body['events'] as Event[]).length).toBeLessThanOrEqual(100);
  });

  test('a receiver that fails gets the same again, and nothing later before it', async () => {
    await createGroup('again', { batch_max: 2 });
    receiver.answers.push(status(500), status(302, { location: `${receiver.url}/elsewhere` }));
    const threadId = await createThread();
    await run(threadId, 'a', 'b', 'c');
    await waitUntil(() => dataOf('again').includes('c'), WAIT);
    expect(receiver.of('/again').map(({ body }) => (body['events'] as Event[]).length)).toEqual([
      2, 2, 2, 1,
    ]);
    expect(dataOf('again')).toEqual(['a', 'b', 'a', 'b', 'a', 'b', 'c']);
    const ids = receiver.of('/again').map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids.slice(0, 3)).size).toBe(1);
    expect(receiver.of('/elsewhere')).toEqual([]);
    expect(await letters('again')).toEqual([]);
  });

  test('after the last attempt a batch is dead letters, the group goes on, and a replay delivers them', async () => {
    await createGroup('dead', { batch_max: 2 });
    for (let i = 0; i < ATTEMPTS_MAX; i++) receiver.answers.push(status(503, {}, 'no room\0'));
    const threadId = await createThread();
    await run(threadId, 'a', 'b', 'c');
    await waitUntil(() => dataOf('dead').includes('c'), WAIT);
    const dead = await waitUntil(async () => {
      const list = await letters('dead');
      return list.length === 2 ? list : undefined;
    }, WAIT);
    expect(dead).toMatchObject([
      { data: 'b', error: 'answered 503: no room', attempts: ATTEMPTS_MAX, status: 'dead' },
      { data: 'a', event_id: eventsOf('dead')[0]?.id },
    ]);
    // One of them, which fails for good once more; then all.
    receiver.received.length = 0;
    for (let i = 0; i < ATTEMPTS_MAX; i++) receiver.answers.push(status(500));
    const path = '/consumer-groups/dead/dead-letters/replay';
    const one = await app.call('POST', path, { dead_letter_ids: [dead[0]?.dead_letter_id] });
    expect(one.json()).toEqual({ replaying: 1 });
    await waitUntil(
      async () =>
        dataOf('dead').length === ATTEMPTS_MAX &&
        (await letters('dead')).every((letter) => letter.status === 'dead'),
      WAIT,
    );
    expect(await letters('dead')).toHaveLength(2);
    receiver.received.length = 0;
    expect((await app.call('POST', path)).json()).toEqual({ replaying: 2 });
    await waitUntil(async () => (await letters('dead')).length === 0, WAIT);
    expect(dataOf('dead').toSorted()).toEqual(['a', 'b']);
    for (const { body } of receiver.of('/dead')) expect(body['replay']).toBe(true);
  });

  test('how far a group is behind is in the metrics, also of a receiver that is away, until it has all', async () => {
    await createGroup('late', { batch_max: 2 });
    const lag = async (): Promise<Record<string, number>> => {
      const text = (await app.call('GET', '/metrics')).text;
      return Object.fromEntries(
        [...text.matchAll(/^millrace_consumer_group_(\w+)\{consumer_group="late"\} (\S+)$/gm)].map(
          ([, name = '', value]) => [name, Number(value)],
        ),
      );
    };
    const threadId = await createThread();
    const gate = new Promise<ServerResponse>((resolve) => receiver.answers.push(resolve));
    await run(threadId, 'a', 'b', 'c', 'd', 'e');
    const response = await gate;
    await waitUntil(async () => {
      const { lag_events: events = 0, lag_seconds: seconds = 0 } = await lag();
      return events === 5 && seconds > 0.5;
    }, WAIT);
    response.writeHead(200).end();
    await waitUntil(async () => {
      const { lag_events: events, lag_seconds: seconds } = await lag();
      return events === 0 && seconds === 0;
    }, WAIT);
    expect(dataOf('late')).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(await lag()).toEqual({ lag_events: 0, lag_seconds: 0, dead_letters: 0 });
  });

  test('two processes: each batch once, threads in their order', async () => {
    await createGroup('two', { batch_max: 5 });
    const beside = await createCoreBeside(app);
    await beside.start();
    try {
      const threads = await Promise.all(Array.from({ length: 6 }, createThread));
      await Promise.all(
        threads.map((threadId) => run(threadId, ...Array.from({ length: 20 }, (_, n) => n))),
      );
      await waitUntil(() => dataOf('two').length >= 120, WAIT);
      const ids = eventsOf('two').map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const threadId of threads)
        expect(
          eventsOf('two')
            .filter(({ id }) => id.startsWith(threadId))
            .map(({ data }) => data),
        ).toEqual(Array.from({ length: 20 }, (_, n) => n));
    } finally {
      await beside.stop();
    }
  });

  test('a process that is lost between the delivery and its commit: again, under the same id', async () => {
    await createGroup('crash');
    const threadId = await createThread();
    // The receiver has it, but the claim is another's before the answer comes: what the first writes is not taken.
    receiver.answers.push((response) => {
      void app.core.pool
        .query(
          `UPDATE consumer_group_positions SET claims = claims + 1, next_attempt_at = now() WHERE thread_id = $1`,
          [threadId],
        )
        .then(() => response.writeHead(200).end());
    });
    await run(threadId, 'a', 'b');
    await waitUntil(() => receiver.of('/crash').length === 2, WAIT);
    const [first, second] = receiver.of('/crash').map(({ body }) => body['events']);
    expect(second).toEqual(first);
    await waitUntil(async () => {
      const { rows } = await app.core.pool.query<{ seq: number }>(
        'SELECT seq FROM consumer_group_positions WHERE thread_id = $1',
        [threadId],
      );
      return rows[0]?.seq === 2;
    }, WAIT);
    await run(threadId, 'c');
    await waitUntil(() => dataOf('crash').includes('c'), WAIT);
    expect(dataOf('crash')).toEqual(['a', 'b', 'a', 'b', 'c']);
  });

  test('a batch whose every attempt was broken off is dead letters, and not tried again', async () => {
    await createGroup('killer', { batch_max: 1 });
    const threadId = await createThread();
    receiver.answers.push((response) => {
      // As if the processes that made all its attempts had died with it.
      void app.core.pool
        .query(
          `UPDATE consumer_group_positions SET claims = claims + 1, attempts = $2, next_attempt_at = now()
           WHERE thread_id = $1`,
          [threadId, ATTEMPTS_MAX],
        )
        .then(() => response.destroy());
    });
    await run(threadId, 'a', 'b');
    await waitUntil(() => dataOf('killer').includes('b'), WAIT);
    expect(dataOf('killer')).toEqual(['a', 'b']);
    expect(await letters('killer')).toMatchObject([
      { data: 'a', error: expect.stringContaining('every attempt was broken off') as string },
    ]);
  });

  test('filters: of a thread, of types, of an assistant; from the start or from now on', async () => {
    const [mine, other, quiet] = [await createThread(), await createThread(), await createThread()];
    await run(mine, 'before');
    await run(quiet, 'long ago');
    await createGroup('history', { from: 'start', thread_id: quiet });
    await createGroup('start', { from: 'start', thread_id: mine });
    await createGroup('later', { thread_id: mine });
    await createGroup('now', { event_types: ['values', 'v2:values'] });
    await createGroup('nobody', { assistant_id: 'no-such-graph' });
    const played = await begin(mine);
    played.emit('values|sub:1', 'with a namespace');
    played.emit('custom', 'of another type');
    await played.end();
    await run(other, 'elsewhere');
    await waitUntil(() => dataOf('start').length >= 3 && dataOf('now').length > 0, WAIT);
    // What was filtered out is behind the positions, and not looked at again.
    await waitUntil(async () => {
      const { rows } = await app.core.pool.query(
        'SELECT 1 FROM consumer_group_positions WHERE archived_seq > seq UNION ALL SELECT 1 FROM consumer_group_marks',
      );
      return rows.length === 0;
    }, WAIT);
    expect(dataOf('start')).toEqual(['before', 'with a namespace', 'of another type']);
    await waitUntil(() => dataOf('history').length > 0, WAIT);
    expect(dataOf('history')).toEqual(['long ago']);
    expect(dataOf('later')).toEqual(['with a namespace', 'of another type']);
    expect(dataOf('now')).toEqual(['with a namespace']);
    expect(dataOf('nobody')).toEqual([]);
  });

  test('what is rolled back or deleted is not delivered any more', async () => {
    await createGroup('gone');
    const threadId = await createThread();
    // Claims nothing for now: the whole log waits.
    for (let i = 0; i < ATTEMPTS_MAX; i++) receiver.answers.push(status(500));
    const played = await begin(threadId);
    played.emit('custom', 'rolled back');
    await waitUntil(async () => (await letters('gone')).length === 1, WAIT);
    await played.rollBack();
    expect(await letters('gone')).toEqual([]);
    receiver.received.length = 0;
    await run(threadId, 'stays');
    await waitUntil(() => dataOf('gone').length === 1, WAIT);
    expect(dataOf('gone')).toEqual(['stays']);
    await app.call('DELETE', `/threads/${threadId}`);
    const { rows } = await app.core.pool.query(
      `SELECT 1 FROM consumer_group_positions WHERE thread_id = $1
       UNION ALL SELECT 1 FROM consumer_group_dead_letters WHERE thread_id = $1`,
      [threadId],
    );
    expect(rows).toEqual([]);
  });

  test('a temporary thread stays until it is delivered, dead letters for a day', async () => {
    await createGroup('temporary');
    for (let i = 0; i < ATTEMPTS_MAX; i++) receiver.answers.push(status(500));
    const answer = await app.call('POST', '/runs', { assistant_id: 'test' });
    const { run_id: runId, thread_id: threadId } = answer.json() as Record<string, string>;
    const played = await playRun(app, runId ?? '');
    played.emit('custom', 'of a stateless run');
    await played.end();
    await waitUntil(async () => (await letters('temporary')).length === 1, WAIT);
    const isThere = async (): Promise<boolean> => {
      await deleteExpiredThreads(app.core.pool, 0);
      const { rows } = await app.core.pool.query('SELECT 1 FROM threads WHERE thread_id = $1', [
        threadId,
      ]);
      return rows.length === 1;
    };
    expect(await isThere()).toBe(true);
    await app.call('POST', '/consumer-groups/temporary/dead-letters/replay');
    await waitUntil(async () => !(await isThere()), WAIT);
    expect(dataOf('temporary').at(-1)).toBe('of a stateless run');
  });
});

describe('without an answer in between', () => {
  let app: TestServer;
  beforeAll(async () => {
    app = await startTestServer({ redis: false, worker: false });
  });
  afterAll(() => app.stop());

  test('a process that stops gives back what is not answered, for the next one', async () => {
    const patient = await startTestServer({
      redis: false,
      worker: false,
      environment: { WEBHOOK_ALLOW: '*', WEBHOOK_TIMEOUT_SECS: '600', SWEEPER_INTERVAL: '0.05' },
    });
    const receiver = await startReceiver();
    try {
      const body = { name: 'hang', url: `${receiver.url}/hang` };
      await patient.call('POST', '/consumer-groups', body);
      const created = await patient.call('POST', '/runs', { assistant_id: 'test' });
      const played = await playRun(patient, (created.json() as { run_id: string }).run_id);
      played.emit('custom', 1);
      await played.end();
      await waitUntil(() => receiver.of('/hang').length === 1, WAIT);
      await patient.core.consumerGroups.stop();
      const { rows } = await patient.core.pool.query(
        'SELECT seq, attempts, next_attempt_at <= now() AS due FROM consumer_group_positions',
      );
      expect(rows).toEqual([{ seq: 0, attempts: 0, due: true }]);
    } finally {
      await patient.stop();
      await receiver.stop();
    }
  });

  const enabled = async (): Promise<string | undefined> => {
    const { rows } = await app.core.pool.query<{ on: string }>(
      `SELECT tgenabled AS on FROM pg_trigger WHERE tgname = 'consumer_group_mark'`,
    );
    return rows[0]?.on;
  };

  test('the trigger is on only while there are groups', async () => {
    expect(await enabled()).toBe('D');
    const url = 'https://example.org/';
    await app.call('POST', '/consumer-groups', { name: 'a', url });
    await app.call('POST', '/consumer-groups', { name: 'b', url });
    expect(await enabled()).toBe('O');
    await app.call('DELETE', '/consumer-groups/a');
    expect(await enabled()).toBe('O');
    await app.call('DELETE', '/consumer-groups/b');
    expect(await enabled()).toBe('D');
  });

  test('the API: errors name what is wrong', async () => {
    const url = 'https://example.org/';
    const made = await app.call('POST', '/consumer-groups', { name: 'x.y-z', url });
    expect(made.json()).toMatchObject({ name: 'x.y-z', url, source: 'api', from: 'now' });
    expect((await app.call('POST', '/consumer-groups', { name: 'x.y-z', url })).status).toBe(409);
    for (const [body, field] of [
      [{ name: 'a/b', url }, 'name'],
      [{ name: 'c', url: '/path' }, 'url'],
      [{ name: 'c', url: './module.ts:f' }, 'url'],
      [{ name: 'c', url: 'http:example.org' }, 'url'],
      [{ name: 'c', url, event_types: ['a|b'] }, 'event_types'],
      [{ name: 'c', url, batch_max: 0 }, 'batch_max'],
      [{ name: 'c', url, path: './module.ts:f' }, 'path'],
    ] as const) {
      const refused = await app.call('POST', '/consumer-groups', body);
      expect([refused.status, refused.text]).toEqual([400, expect.stringContaining(field)]);
    }
    expect((await app.call('GET', '/consumer-groups')).json()).toHaveLength(1);
    for (const [method, path] of [
      ['GET', '/consumer-groups/none'],
      ['DELETE', '/consumer-groups/none'],
      ['GET', '/consumer-groups/none/dead-letters'],
      ['POST', '/consumer-groups/none/dead-letters/replay'],
    ] as const)
      expect((await app.call(method, path)).status).toBe(404);
    expect((await app.call('DELETE', '/consumer-groups/x.y-z')).status).toBe(204);
    expect(await deleteOldDeadLetters(app.core.pool)).toBe(0);
  });
});
