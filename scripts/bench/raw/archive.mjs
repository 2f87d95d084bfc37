/**
 * The least that an archiver can be: XREADGROUP → INSERT … ON CONFLICT → XACK, one batch written while the next is
 * read. One stream for all logs; no terms, no positions, no trimming.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { INSERT } from './log.mjs';
import { serve } from './serve.mjs';

const { REDIS_URL, DATABASE_URL } = process.env;
const commands = new Redis(REDIS_URL);
const blocking = new Redis(REDIS_URL);
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 8 });
const BATCH = 2_000;
/** Batches under way: one is written while the next is read. */
const WRITING_MAX = 2;
const GATHER_MS = 20;
const nowUs = () => Number(process.hrtime.bigint()) / 1_000;

async function add(stream, first, count) {
  const pipeline = commands.pipeline();
  for (let n = first; n < first + count; n++)
    pipeline.xadd(
      stream,
      '*',
      'e',
      JSON.stringify({ n, t: Math.round(nowUs()), p: 'x'.repeat(32) }),
    );
  await pipeline.exec();
}

/** Archives until `total` are in Postgres. @param each (entries) → void, when they are committed */
async function archive(stream, thread, total, gatherMs, each) {
  await commands.xgroup('CREATE', stream, 'raw', '0', 'MKSTREAM');
  const writing = new Set();
  let read = 0;
  while (read < total) {
    if (gatherMs > 0) await delay(gatherMs);
    const reply = await blocking.xreadgroup(
      'GROUP',
      'raw',
      'one',
      'COUNT',
      BATCH,
      'BLOCK',
      1_000,
      'STREAMS',
      stream,
      '>',
    );
    const entries = reply?.[0][1] ?? [];
    if (entries.length === 0) continue;
    const rows = entries.map(([, [, d]], i) => ({ k: thread, s: read + i + 1, y: 'custom', d }));
    read += entries.length;
    const work = (async () => {
      await pool.query({ ...INSERT, values: [JSON.stringify(rows)] });
      each?.(rows);
      await commands.xack(stream, 'raw', ...entries.map(([id]) => id));
      writing.delete(work);
    })();
    writing.add(work);
    if (writing.size >= WRITING_MAX) await Promise.race(writing);
  }
  await Promise.all(writing);
  const { rows } = await pool.query(
    `SELECT count(*)::int AS n FROM raw_events WHERE thread_id = $1 AND (data::json->>'n')::int = seq - 1`,
    [thread],
  );
  if (rows[0].n !== total) throw new Error(`${rows[0].n} of ${total} events archived in order`);
  await commands.del(stream);
}

serve(undefined, {
  /** A stream that is full already. @returns {perSecond} */
  async drain({ count }) {
    const stream = `raw:archive:${randomUUID()}`;
    for (let n = 0; n < count; n += BATCH) await add(stream, n, Math.min(BATCH, count - n));
    const startUs = nowUs();
    let endUs;
    await archive(stream, randomUUID(), count, 0, () => (endUs = nowUs()));
    return { perSecond: count / ((endUs - startUs) / 1e6) };
  },
  /** Events that come at a rate. @returns {p50, p99} ms from XADD to commit */
  async lag({ count, perSecond }) {
    const stream = `raw:archive:${randomUUID()}`;
    const ages = [];
    const archiving = archive(stream, randomUUID(), count, GATHER_MS, (rows) => {
      const atUs = nowUs();
      for (const { d } of rows) ages.push((atUs - JSON.parse(d).t) / 1_000);
    });
    const begun = nowUs();
    for (let n = 0; n < count;) {
      const due = Math.min(count, Math.floor(((nowUs() - begun) / 1e6) * perSecond));
      if (due > n) {
        await add(stream, n, due - n);
        n = due;
      } else await delay(1);
    }
    await archiving;
    ages.sort((a, b) => a - b);
    const at = (q) => ages[Math.floor(q * (ages.length - 1))];
    return { p50: at(0.5), p99: at(0.99) };
  },
});
