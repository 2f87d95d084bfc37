/** The raw processes that the cases ask for, on a database of their own. */
import { join } from 'node:path';
import { ROOT } from '../prepare.mjs';
import { cpuSeconds, cpuSecondsOfFamily, residentBytes } from './processes.mjs';
import { SCHEMA } from './raw/log.mjs';

export async function startRaw(stack, path, wanted, postgres, redis) {
  const { default: pg } = await import('pg');
  const name = `raw_${path}`;
  await postgres.admin.query(`CREATE DATABASE ${name}`);
  const url = postgres.url.replace(/\/postgres$/, `/${name}`);
  const db = new pg.Pool({ connectionString: url, max: 2 });
  db.on('error', () => undefined);
  await db.query(SCHEMA);
  const processes = {};
  await Promise.all(
    [...new Set(wanted.flatMap((one) => one.raw))].map(async (kind) => {
      processes[kind] = await stack.processes.fork(
        kind,
        join(ROOT, 'scripts/bench/raw', `${kind}.mjs`),
        { DATABASE_URL: url, REDIS_URL: path === 'redis' ? redis.url : '' },
      );
    }),
  );
  const own = () => Object.values(processes).reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
  return {
    name,
    db,
    processes,
    cpu: () => ({
      raw: own(),
      redis: path === 'redis' ? cpuSeconds(redis.pid) : 0,
      postgres: cpuSecondsOfFamily(postgres.pid),
      load: cpuSeconds(process.pid),
    }),
    /** CPU seconds of the raw processes alone. */
    own,
    memory: () => ({
      raw: Object.values(processes).reduce((sum, { pid }) => sum + (residentBytes(pid) ?? 0), 0),
    }),
    async stop() {
      await Promise.all(Object.values(processes).map((one) => one.stop()));
      await db.end();
    },
  };
}
