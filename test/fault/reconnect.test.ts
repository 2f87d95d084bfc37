/**
 * A client may leave at any moment and come back at any position: what it gets is the log from there,
 * wherever the log is just then. Where the archive must stand still, a lock on the thread's row holds it;
 * where a race must be met, one server reaches Redis over a slow line.
 */
import { createKeys } from '../../src/redis/keys.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { SseEvent } from '../support/event-client.ts';
import { lockRows } from '../support/row-lock.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import type { Visitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';

/** Of the far server's live messages, each way: they come long after a page or a NOTIFY has told of their events. */
const LIVE_LAG_MS = 150;
/** Of all that it asks Redis: far longer than the time between two events, or two trims. */
const LINE_MS = 40;

let cluster: Cluster;
let line: TcpProxy;
/** URL of a server with a slow line to Redis. */
let farUrl: string;
beforeAll(async () => {
  cluster = await startCluster({ workers: 2, env: PATIENT });
  line = await startTcpProxy({ port: cluster.redis.port });
  const server = await cluster.startServer({ REDIS_URL: `redis://127.0.0.1:${line.port}` });
  farUrl = server.url;
  line.delay(LIVE_LAG_MS, 'millrace-subscriber');
});
afterAll(async () => {
  await cluster.stop();
  await line.close();
});

interface TestRun {
  threadId: string;
  runId: string;
  /** Events of the probe in a whole run. */
  expected: number;
  /** Its stream on a server, default the first. */
  stream(url?: string): string;
}

async function begin(plan: Plan, more: Record<string, unknown> = {}): Promise<TestRun> {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, plan, more);
  return {
    threadId,
    runId,
    expected: plan.steps * plan.events,
    stream: (url = cluster.url) => `${url}/threads/${threadId}/runs/${runId}/stream`,
  };
}

const verify = (run: TestRun, visitors: readonly Visitor[]): Promise<string[]> =>
  violationsIn(cluster, { ...run, clients: visitors.map(({ sessions }) => sessions) });

async function archivedSeq(threadId: string): Promise<number> {
  const { rows } = await cluster.pool.query<{ archived_seq: number }>(
    'SELECT archived_seq FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.archived_seq ?? 0;
}

/** First and last seq of the log in Redis; 0 for none. */
async function seqsInRedis(threadId: string): Promise<{ first: number; last: number }> {
  const { stream } = createKeys(cluster.keyPrefix).log(threadId);
  const seq = async (command: string): Promise<number> => {
    const script = `local e = redis.call(${command}, 'COUNT', 1)[1]
      return e and tonumber(string.match(e[1], '^%d+')) or 0`;
    return Number((await cluster.redis.command('EVAL', script, '1', stream)).slice(1));
  };
  return {
    first: await seq(`'XRANGE', KEYS[1], '-', '+'`),
    last: await seq(`'XREVRANGE', KEYS[1], '+', '-'`),
  };
}

/**
 * A run whose log lies in both stores: Postgres has it up to `archived`, Redis from there on and no
 * further back, and it stays so while the run writes on, until `release`.
 */
async function beginSeam(): Promise<
  TestRun & { archived: number; had: readonly SseEvent[]; release: () => Promise<void> }
> {
  const run = await begin({ steps: 1, events: 1_000, eventMs: 8 });
  await waitUntil(async () => (await archivedSeq(run.threadId)) >= 40, {
    timeoutMs: 30_000,
    what: 'the archive to have 40 events',
  });
  const release = await lockRows(cluster.pool, 'threads', [run.threadId]);
  const archived = await archivedSeq(run.threadId);
  await waitUntil(
    async () => {
      const { first, last } = await seqsInRedis(run.threadId);
      return first === archived + 1 && last > archived + 10;
    },
    { timeoutMs: 30_000, what: 'Redis to be trimmed up to the archive' },
  );
  const { rows } = await cluster.pool.query<{ type: string; data: string }>(
    'SELECT type, data FROM events WHERE thread_id = $1 ORDER BY seq',
    [run.threadId],
  );
  const had = rows.map(({ type, data }, n) => ({ id: String(n), event: type, data }));
  return { ...run, archived, had, release };
}

const numberOf = (id: string | undefined): number => Number(id?.split('-')[0] ?? -1);

test('[19] a client that comes back with its last id goes on at the next event, from Redis alone', async () => {
  const run = await beginSeam();
  const visitor = openVisitor(run.stream());
  for (let cut = 1; cut <= 8; cut++) {
    const from = run.archived + cut * 8;
    await visitor.now.until((events) => numberOf(events.at(-1)?.id) >= from);
    visitor.comeBack();
  }
  // All of these positions were in Redis only.
  expect(await archivedSeq(run.threadId)).toBe(run.archived);
  await run.release();
  await visitor.now.end();
  expect(await verify(run, [visitor])).toEqual([]);
});

test('[20] a position that is trimmed from Redis reads Postgres, then Redis, over a seam without hole or double', async () => {
  const run = await beginSeam();
  const visitors = [0, 1, 20, run.archived - 2].map((count) =>
    openVisitor(run.stream(), run.had.slice(0, count)),
  );
  for (const { now } of visitors)
    await now.until((events) => numberOf(events.at(-1)?.id) >= run.archived + 10);
  expect(await archivedSeq(run.threadId)).toBe(run.archived);
  await run.release();
  for (const { now } of visitors) await now.end();
  expect(await verify(run, visitors)).toEqual([]);
});

test('[21] a position that is exactly the last trimmed event is no gap: no rewind, the next event follows', async () => {
  const run = await beginSeam();
  // `had` ends with the last trimmed event: its seq is `archived`, its number one less.
  const visitor = openVisitor(run.stream(), run.had);
  expect(visitor.lastId()).toBe(String(run.archived - 1));
  await visitor.now.until(5);
  expect(await archivedSeq(run.threadId)).toBe(run.archived);
  expect(visitor.now.events[0]).toMatchObject({ event: 'custom', id: String(run.archived) });
  await run.release();
  await visitor.now.end();
  expect(visitor.now.events.map(({ event }) => event)).not.toContain('rewind');
  expect(await verify(run, [visitor])).toEqual([]);
});

test('[22] a trim between the page from Postgres and the read from Redis loses no event', async () => {
  line.delay(LINE_MS);
  try {
    const run = await begin({ steps: 6, events: 300, eventMs: 3 });
    const visitors = Array.from({ length: 15 }, () => openVisitor(run.stream(farUrl)));
    // Each comes back as soon as it has something, so that its reader is nearly always between the two.
    await Promise.all(
      visitors.map(async (visitor) => {
        for (;;) {
          await visitor.now.until((events) => events.length > 0 || visitor.now.ended);
          if (visitor.now.ended || numberOf(visitor.lastId()) >= run.expected) return;
          visitor.comeBack();
        }
      }),
    );
    for (const { now } of visitors) await now.end();
    expect(await verify(run, visitors)).toEqual([]);
    expect(visitors.every(({ sessions }) => sessions.length > 3)).toBe(true);
  } finally {
    line.delay(LIVE_LAG_MS, 'millrace-subscriber');
  }
});

test('[28] an event appended between SUBSCRIBE and the first read is delivered once', async () => {
  const run = await begin({ steps: 1, events: 600, eventMs: 2 });
  const visitors: Visitor[] = [];
  const first = openVisitor(run.stream());
  // What a page has already, some 70 events, comes once more as live messages.
  for (let from = 1; from <= 400; from += 20) {
    await first.now.until(from);
    visitors.push(openVisitor(run.stream(farUrl)));
  }
  for (const { now } of visitors) await now.end();
  await first.now.end();
  expect(await verify(run, [first, ...visitors])).toEqual([]);
});

test('[29] the end that overtakes the last events on their way to a reader waits for them', async () => {
  // The end also comes by NOTIFY, at once; the live events lag behind.
  const runs = await Promise.all(
    Array.from({ length: 16 }, () => begin({ steps: 2, events: 40, eventMs: 5 })),
  );
  const visitors = runs.map((run) => openVisitor(run.stream(farUrl)));
  for (const { now } of visitors) await now.end();
  for (const [i, run] of runs.entries())
    expect(await verify(run, visitors.slice(i, i + 1))).toEqual([]);
});

test('[25] a client that joins before the run starts waits, and gets its first event', async () => {
  const run = await begin({ steps: 2, events: 10 }, { after_seconds: 10 });
  const visitors = [openVisitor(run.stream()), openVisitor(run.stream(farUrl))];
  for (const { now } of visitors) await waitUntil(() => now.status === 200, { timeoutMs: 30_000 });
  expect((await cluster.row(run.runId)).status).toBe('pending');
  for (const { now } of visitors) await now.end();
  expect(visitors[0]?.now.events[0]).toMatchObject({ event: 'metadata', id: '0' });
  expect(await verify(run, visitors)).toEqual([]);
});

test('[64] a reader that takes nothing while 5,000 events are written gets all of them, no false end', async () => {
  // 20 MB: far more than the sockets between the two hold.
  const run = await begin({ steps: 5, events: 1_000, padding: 4_000 });
  const paused = openVisitor(run.stream());
  const other = openVisitor(run.stream());
  await paused.now.until(1);
  paused.now.pause();
  await other.now.end(60_000);
  expect((await cluster.row(run.runId)).status).toBe('success');
  expect(paused.now.ended).toBe(false);
  expect(paused.now.events.length).toBeLessThan(run.expected);
  paused.now.resume();
  await paused.now.end(60_000);
  expect(await verify(run, [paused, other])).toEqual([]);
});

describe('positions of a finished and of a running run', () => {
  let finished: TestRun;
  let running: TestRun;
  beforeAll(async () => {
    finished = await begin({ steps: 2, events: 5 });
    await openVisitor(finished.stream()).now.end();
    running = await begin({ steps: 1, events: 2_000, eventMs: 60 });
    await openVisitor(running.stream()).now.until(3);
  });
  afterAll(async () => {
    await cluster.request('POST', `/threads/${running.threadId}/runs/${running.runId}/cancel`, {});
  });

  test.each([
    ['of a run with 11 events', 'finished', '11', 410, /Last-Event-ID 11 is ahead of the log/],
    ['far ahead', 'finished', '999999', 410, /ahead of the log/],
    ['of an attempt there never was', 'finished', '3-7', 400, /no attempt 7/],
    [
      'malformed',
      'finished',
      'abc',
      400,
      /expected -1, <number> or <number>-<attempt>, found "abc"/,
    ],
    ['a number that is none', 'finished', '1e3', 400, /expected -1/],
    ['of another run: a later attempt', 'running', '0-2', 400, /of another run/],
  ] as const)(
    '[23] %s: refused with its reason, nothing is sent',
    async (_, of, id, status, reason) => {
      const run = of === 'finished' ? finished : running;
      const response = await fetch(run.stream(), { headers: { 'last-event-id': id } });
      expect(response.status).toBe(status);
      expect(await response.text()).toMatch(reason);
      expect(response.headers.get('content-type')).not.toContain('event-stream');
    },
  );

  test('[23] ahead of the tail of a running run, whose end Redis may have lost: a rewind to its true end, then what follows', async () => {
    const client = cluster.join(running.threadId, running.runId, '50000');
    await client.until(3);
    const [rewind, ...events] = client.events;
    expect(rewind?.event).toBe('rewind');
    const { to } = JSON.parse(rewind?.data ?? '') as { to: string };
    expect(numberOf(to)).toBeGreaterThanOrEqual(3);
    expect(events.map(({ id }) => numberOf(id) - numberOf(to))).toEqual(
      events.map((_, i) => i + 1),
    );
    client.cut();
  });

  test.each([
    ['absent', undefined, 0],
    ['-1', '-1', 0],
    ['empty', '', 0],
    ['0, the id of the first event', '0', 1],
    ['the last id', '10', 11],
  ])(
    '[24] Last-Event-ID %s on a finished run: everything after it, then the response ends',
    async (_, id, had) => {
      const archive = await cluster.archived(finished.runId);
      expect(archive).toHaveLength(11);
      const client = cluster.join(finished.threadId, finished.runId, id);
      await client.end();
      expect(client.status).toBe(200);
      expect(client.events).toEqual(archive.slice(had));
    },
  );
});
