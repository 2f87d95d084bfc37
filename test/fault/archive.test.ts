/** The rules of the stores, asked at the moment that matters: late batches, two archivers, loud signals, hostile texts. */
import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { archiveRows } from '../../src/events/archive.ts';
import type { ArchiveRow } from '../../src/events/archive.ts';
import type { LogOwner } from '../../src/events/backend.ts';
import { createPool } from '../../src/postgres/pool.ts';
import type { Db } from '../../src/postgres/pool.ts';
import { createPostgresSignals } from '../../src/postgres/signals.ts';
import { beginRun, claimTerm, createThread, loseLease, newRun } from '../support/app.ts';
import { createRun } from '../../src/runs/create.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { openSse } from '../support/event-client.ts';
import { playRun } from '../support/play-run.ts';
import { startTestServer } from '../support/server.ts';
import type { TestServer } from '../support/server.ts';
import { waitUntil } from '../support/wait-until.ts';

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: true, worker: false });
});
afterAll(() => app.stop());

const rowsOf = (owner: LogOwner, from: number, to: number): ArchiveRow[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    threadId: owner.threadId,
    seq: from + i,
    term: owner.term,
    type: 'custom',
    data: String(from + i),
  }));

async function stored(threadId: string): Promise<{ seq: number; term: number }[]> {
  const { rows } = await app.core.pool.query<{ seq: number; term: number }>(
    'SELECT seq, term FROM events WHERE thread_id = $1 ORDER BY seq',
    [threadId],
  );
  return rows;
}

test('[5d] a flush of term 1 that commits after term 2 has begun is refused row by row', async () => {
  const first = await beginRun(app);
  const { pool } = app.core;
  await archiveRows(pool, rowsOf(first, 1, 10));
  await loseLease(app, first);
  const second = await claimTerm(app, first.runId);
  expect(second).toMatchObject({ start: 11, term: first.term + 2 });
  // The late batch alone, around the new term's rows, and in one statement with them.
  await archiveRows(pool, rowsOf(first, 11, 14));
  expect(await stored(first.threadId)).toHaveLength(10);
  await archiveRows(pool, [...rowsOf(first, 11, 16), ...rowsOf(second, 11, 12)]);
  await archiveRows(pool, rowsOf(first, 13, 18));
  await archiveRows(pool, rowsOf(second, 13, 15));
  expect(await stored(first.threadId)).toEqual(
    [...rowsOf(first, 1, 10), ...rowsOf(second, 11, 15)].map(({ seq, term }) => ({ seq, term })),
  );
});

test('[49] two archivers with the same rows and with overlapping ones: each row once, the watermark only rises', async () => {
  const owner = await beginRun(app);
  const { pool } = app.core;
  const other = createPool(
    { url: app.core.config.DATABASE_URL, connectionsMax: 4, name: 'other' },
    () => undefined,
  );
  const marks: number[] = [];
  try {
    for (let n = 0; n < 40; n++) {
      const from = n * 10 + 1;
      const answers = await Promise.all([
        archiveRows(pool, rowsOf(owner, from, from + 9)),
        archiveRows(other, rowsOf(owner, from, from + 9)),
        archiveRows(other, rowsOf(owner, Math.max(1, from - 5), from + 4)),
        archiveRows(pool, rowsOf(owner, from + 5, from + 9)),
      ]);
      marks.push(Math.max(...answers.map((answer) => answer.get(owner.threadId) ?? 0)));
      const { rows } = await pool.query<{ seq: number }>(
        'SELECT archived_seq AS seq FROM threads WHERE thread_id = $1',
        [owner.threadId],
      );
      expect(rows[0]?.seq).toBe(from + 9);
    }
  } finally {
    await other.end();
  }
  expect(marks).toEqual([...marks].sort((a, b) => a - b));
  expect((await stored(owner.threadId)).map(({ seq }) => seq)).toEqual(
    Array.from({ length: 400 }, (_, i) => i + 1),
  );
});

describe('signals', () => {
  /** Counts the statements that go through it. */
  function counting(db: Db): { db: Db; statements: () => number } {
    let statements = 0;
    const query = ((...args: Parameters<Db['query']>) => {
      statements++;
      db.query(...args);
    }) as Db['query'];
    return { db: { query }, statements: () => statements };
  }

  test('[44] [46] too long a payload is dropped, never fails the others; what 64 writers say at once goes in few statements, off their way', async () => {
    const database = await createTestDatabase();
    const errors: Error[] = [];
    const { db, statements } = counting(database.pool);
    const signals = createPostgresSignals(db, {
      url: database.url,
      prefix: 'loud',
      onError: (error) => errors.push(error),
    });
    const heard = new Set<string>();
    signals.on('log', (payload) => heard.add(payload));
    await signals.start();
    try {
      signals.publish('log', 'x'.repeat(9_000));
      signals.publish('log', '\u{1f600}'.repeat(3_000));
      for (let round = 0; round < 50; round++) {
        const writers = Array.from({ length: 64 }, () => database.pool.query('SELECT 1'));
        await Promise.all(writers);
        for (const writer of writers.keys()) signals.publish('log', `${writer}-${round}`);
      }
      await waitUntil(() => heard.size === 64 * 50, { timeoutMs: 30_000, what: 'all signals' });
      expect(statements()).toBeLessThan((64 * 50) / 4);
      expect(errors).toEqual([]);
    } finally {
      await signals.stop();
      await database.drop();
    }
  });
});

test('[43] a LISTEN connection that is half open is found within 10 s, and whoever listens is told to look', async () => {
  const { hostname, port } = new URL(app.core.config.DATABASE_URL);
  const links = new Set<Socket>();
  const relay = createServer((client) => {
    const upstream = createConnection({ host: hostname, port: Number(port) });
    for (const socket of [client, upstream]) {
      links.add(socket);
      socket.on('error', () => undefined);
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const through = new URL(app.core.config.DATABASE_URL);
  through.host = `127.0.0.1:${(relay.address() as AddressInfo).port}`;
  const signals = createPostgresSignals(app.core.pool, {
    url: through.href,
    prefix: 'half',
    onError: () => undefined,
  });
  let gaps = 0;
  const heard: string[] = [];
  signals.on('queue', (payload) => heard.push(payload));
  await signals.start();
  signals.onGap(() => gaps++);
  try {
    signals.publish('queue', 'before');
    await waitUntil(() => heard.includes('before'), { timeoutMs: 20_000 });
    // Nothing of what is open carries anything any more, and nobody says so.
    for (const socket of links) socket.unpipe().pause();
    // More than the 10 s, for a busy machine: without a time limit the check waits for ever.
    await waitUntil(() => gaps > 0, { timeoutMs: 20_000, what: 'the connection to be made anew' });
    await waitUntil(
      () => {
        signals.publish('queue', 'after');
        return heard.includes('after');
      },
      { timeoutMs: 20_000, what: 'signals over the new connection' },
    );
  } finally {
    for (const socket of links) socket.destroy();
    await signals.stop();
    relay.close();
  }
});

describe('[47] hostile texts', () => {
  async function played(): Promise<{ run: Awaited<ReturnType<typeof playRun>>; url: string }> {
    const threadId = await createThread(app);
    const run = newRun(app, threadId);
    await createRun(app.core.pool, run);
    return {
      run: await playRun(app, run.runId),
      url: `${app.url}/threads/${threadId}/runs/${run.runId}/stream`,
    };
  }
  const TEXTS = [
    'a\u0000b',
    '\ud800',
    'x\udfff\ud83d',
    '😀'.repeat(1_000),
    'line\nline\r\nline\rline',
    '\n\nevent: error\ndata: {"forged":true}\n\n',
    '\u2028\u2029',
    '\t',
    '</script>',
    '\\u0000',
    '﻿',
    'm'.repeat(5 * 1024 * 1024),
  ];

  test('come out of the stream and of the archive as they went in, one event each', async () => {
    const { run, url } = await played();
    const live = openSse(url);
    for (const [i, text] of TEXTS.entries()) run.emit('custom', { [text.slice(0, 40)]: text, i });
    await live.until(TEXTS.length);
    await run.end();
    await live.end();
    const later = openSse(url);
    await later.end();
    for (const { events } of [live, later]) {
      expect(events.map(({ event }) => event)).toEqual(TEXTS.map(() => 'custom'));
      for (const [i, text] of TEXTS.entries())
        expect(JSON.parse(events[i]?.data ?? '')).toEqual({ [text.slice(0, 40)]: text, i });
    }
  });

  test.each([
    'a\rb',
    'a\ndata: forged',
    'id\u0000',
    '\u2028',
    'values|\ud800',
    '',
    'n'.repeat(2_000),
    '\t',
  ])('an event name %j is refused where it is made, and the log goes on', async (name) => {
    const { run, url } = await played();
    const client = openSse(url);
    run.emit('custom', 1);
    expect(() => {
      run.emit(name, 2);
    }).toThrow(/expected 1 to 1024 characters/);
    run.emit('custom', 3);
    await client.until(2);
    await run.end();
    await client.end();
    expect(client.events.map(({ data }) => data)).toEqual(['1', '3']);
  });
});
