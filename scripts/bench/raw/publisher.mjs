/**
 * The raw worker: emits events of the same size in the same rhythm as the emitter graph, one append under way
 * for each run, what is emitted meanwhile goes with the next.
 */
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { APPEND, BATCH_MAX, END, INSERT } from './log.mjs';
import { serve } from './serve.mjs';

const { REDIS_URL, DATABASE_URL } = process.env;
const redis = REDIS_URL ? new Redis(REDIS_URL) : undefined;
redis?.defineCommand('rawAppend', { numberOfKeys: 1, lua: APPEND });
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 16 });
const nowUs = () => Math.round(Number(process.hrtime.bigint()) / 1_000);

async function publishRun({ channel, count, perSecond = 0, bytes = 32, yieldEvery = 1 }) {
  const buffer = [];
  let sent = 0;
  let pumping;
  const pump = async () => {
    await Promise.resolve();
    while (sent < buffer.length) {
      const first = sent;
      const events = buffer.slice(first, first + BATCH_MAX);
      sent += events.length;
      if (redis) await redis.rawAppend(`raw:${channel}`, first + 1, channel, ...events);
      else {
        const rows = events.map((d, i) => ({ k: channel, s: first + i + 1, y: 'custom', d }));
        await pool.query({ ...INSERT, values: [JSON.stringify(rows)] });
        // A transaction of its own, as many signals as there are runs.
        void pool.query({
          name: 'notify',
          text: 'SELECT pg_notify($1, $2)',
          values: ['raw', channel],
        });
      }
    }
    pumping = undefined;
  };
  const p = 'x'.repeat(bytes);
  const begun = nowUs();
  for (let n = 0; n < count; n++) {
    if (perSecond > 0) while (nowUs() - begun < (n * 1e6) / perSecond) await delay(1);
    else if (n % yieldEvery === 0) await turn();
    buffer.push(JSON.stringify({ n, t: nowUs(), p }));
    pumping ??= pump();
  }
  await pumping;
  if (redis) await redis.publish(channel, END);
  else await pool.query('SELECT pg_notify($1, $2)', ['raw', `${channel} ${END}`]);
}

serve(undefined, {
  publish: ({ channels, ...plan }) =>
    Promise.all(channels.map((channel) => publishRun({ channel, ...plan }))).then(() => undefined),
});
