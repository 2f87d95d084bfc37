/**
 * The least that notices a dead worker: a key with a time to live that a process renews, and another process that looks.
 * Told to stop, the holder hands over through a list that the other blocks on. Times are Millrace's defaults.
 */
import { randomUUID } from 'node:crypto';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { serve } from './serve.mjs';

const TTL_MS = 6_000;
const RENEW_MS = 2_000;
const LOOK_MS = 1_000;
const nowUs = () => Number(process.hrtime.bigint()) / 1_000;

if (process.argv[2] === 'hold') {
  const redis = new Redis(process.env.REDIS_URL);
  const key = process.argv[3];
  const renew = () => redis.set(key, '1', 'PX', TTL_MS);
  await renew();
  setInterval(renew, RENEW_MS);
  process.on('disconnect', () => process.exit());
  process.on('SIGTERM', async () => {
    await redis.pipeline().del(key).lpush(`${key}:over`, '1').exec();
    process.exit();
  });
  process.send('held');
} else {
  const redis = new Redis(process.env.REDIS_URL);
  serve(undefined, {
    /** @returns {seconds} from the signal until the other process knows */
    async strike({ signal }) {
      const key = `raw:lease:${randomUUID()}`;
      const holder = fork(fileURLToPath(import.meta.url), ['hold', key]);
      await once(holder, 'message');
      // Somewhere between two renewals, as a worker's death is.
      await delay(500);
      const over = redis.duplicate();
      const told = over.brpop(`${key}:over`, 30);
      told.catch(() => undefined);
      const startUs = nowUs();
      holder.kill(signal);
      if (signal === 'SIGTERM') await told;
      else while ((await redis.exists(key)) === 1) await delay(LOOK_MS);
      const seconds = (nowUs() - startUs) / 1e6;
      over.disconnect();
      if (holder.exitCode === null && holder.signalCode === null) await once(holder, 'exit');
      return { seconds };
    },
  });
}
