/**
 * What it costs writers that others are told of their commits (scenario 46): 64 connections that commit one status
 * change after the other, alone; with a signal published for each (src/postgres/signals.ts, gathered, beside the
 * commits); and with a pg_notify inside each transaction, which is what the gathering is there to avoid.
 *
 * A signal names the row, as the product's name a thread, so equal ones that wait are one. The lag is from the first
 * publishing that was not heard yet to the listener of another connection, both in this process.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { alternate, median, nowUs, quantile, sinceMs } from '../clock.mjs';

const WRITERS = 64;
const HEARD_MS_MAX = 10_000;
const UPDATE = 'UPDATE mirror SET status = $2, n = n + 1 WHERE id = $1';

async function run(bench) {
  const { createPool } = await import('../../../dist/postgres/pool.js');
  const { createPostgresSignals } = await import('../../../dist/postgres/signals.js');
  const { database: url } = bench.stack;
  const pool = createPool({ url, connectionsMax: WRITERS + 1, name: 'bench-mirror' }, () => {});
  const errors = [];
  const signals = createPostgresSignals(pool, {
    url,
    prefix: 'bench_mirror',
    onError: (error) => errors.push(error),
  });
  /** Row → when it was told of first, since it was heard of. */
  const published = new Map();
  let lags = [];
  signals.on('log', (payload) => {
    const atUs = published.get(payload);
    if (atUs === undefined) return;
    lags.push(sinceMs(atUs));
    published.delete(payload);
  });
  await signals.start();
  const each = bench.pick(60, 400);

  /** @returns commits a second */
  async function commits(text, after) {
    const from = nowUs();
    const writer = async (_, id) => {
      for (let i = 0; i < each; i++) {
        await pool.query({ text, values: [id, i % 2 === 0 ? 'busy' : 'idle'] });
        after?.(id);
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, writer));
    return { rate: (WRITERS * each) / (sinceMs(from) / 1_000) };
  }
  function publish(id) {
    const payload = String(id);
    if (!published.has(payload)) published.set(payload, nowUs());
    signals.publish('log', payload);
  }
  async function withSignals() {
    lags = [];
    const { rate } = await commits(UPDATE, publish);
    const until = Date.now() + HEARD_MS_MAX;
    while (published.size > 0) {
      if (Date.now() > until) throw new Error(`signals of ${published.size} rows were not heard`);
      await delay(5);
    }
    return { rate, p50: quantile(lags, 0.5), p99: quantile(lags, 0.99) };
  }

  try {
    await pool.query(
      `CREATE TABLE mirror AS SELECT i AS id, 'idle' AS status, 0 AS n FROM generate_series(0, ${WRITERS - 1}) i`,
    );
    await pool.query('ALTER TABLE mirror ADD PRIMARY KEY (id)');
    await commits(UPDATE);
    const { alone, gathered, inside } = await alternate(bench.rounds, {
      alone: () => commits(UPDATE),
      gathered: withSignals,
      inside: () =>
        commits(`WITH changed AS (${UPDATE} RETURNING id)
          SELECT pg_notify('bench_mirror_inside', id::text) FROM changed`),
    });
    if (errors.length > 0) throw errors[0];
    const shares = gathered.all.map(({ rate }, round) => (100 * rate) / alone.all[round].rate);
    bench.row({
      id: 'mirror/rate',
      title: `commits of ${WRITERS} writers, each told to others`,
      unit: 'commits/s',
      value: gathered.rate,
      baseline: { name: 'told to nobody', value: alone.rate },
      note: `pg_notify in each transaction: ${inside.rate.toFixed(0)} commits/s`,
    });
    bench.row({
      id: 'mirror/share',
      title: 'of the rate without NOTIFY (median of the rounds)',
      unit: '%',
      value: median(shares),
    });
    bench.row({
      id: 'mirror/lag-p99',
      title: 'from the commit to who listens, p99',
      unit: 'ms',
      value: gathered.p99,
      note: `p50 ${gathered.p50.toFixed(1)} ms`,
    });
  } finally {
    await signals.stop();
    await pool.end();
  }
}

export const mirror = { name: 'mirror', paths: ['direct'], raw: [], quickDirect: true, run };
