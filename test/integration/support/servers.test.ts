/** The private servers that fault tests break, and the promise that nothing outlives a killed test run. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isNativeError } from 'node:util/types';
import { createPool, isTransient } from '../../../src/postgres/pool.ts';
import { startPostgres } from '../../support/postgres.ts';
import { isAlive } from '../../support/process-family.ts';
import { startProcess } from '../../support/processes.ts';
import { startRedis } from '../../support/redis.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('a killed Postgres comes back on its port with what was committed', async () => {
  const server = await startPostgres();
  const pool = createPool({ url: server.url, connectionsMax: 2, name: 'test' }, () => undefined);
  try {
    await pool.query('CREATE TABLE kept AS SELECT 7 AS value');
    // What a primary answers that has just become a standby.
    const refused: unknown = await pool
      .query('BEGIN READ ONLY; DELETE FROM kept')
      .catch((cause: unknown) => cause);
    expect(isTransient(refused)).toBe(true);
    await server.kill();
    const error: unknown = await pool.query('SELECT 1').catch((cause: unknown) => cause);
    expect(isTransient(error)).toBe(true);
    await server.restart();
    const { rows } = await pool.query('SELECT value FROM kept');
    expect(rows).toEqual([{ value: 7 }]);
  } finally {
    await pool.end();
    await server.stop();
  }
});

test('Redis has the settings asked for, and keeps or loses its data as they say', async () => {
  const [durable, volatile] = await Promise.all([
    startRedis({ appendonly: true, appendfsync: 'always' }),
    startRedis({ maxmemory: '5mb', maxmemoryPolicy: 'allkeys-lru' }),
  ]);
  try {
    for (const redis of [durable, volatile]) {
      await redis.command('SET', 'k', 'v');
      await redis.kill();
      await redis.restart();
    }
    expect(await durable.command('EXISTS', 'k')).toBe(':1');
    expect(await volatile.command('EXISTS', 'k')).toBe(':0');
    await durable.flushall();
    expect(await durable.command('DBSIZE')).toBe(':0');
    await expect(durable.command('NOPE')).rejects.toThrow('unknown command');
  } finally {
    await durable.stop();
    await volatile.stop();
  }
});

test('when the test process is killed, its servers and folders go too', async () => {
  const module = (name: string): string =>
    JSON.stringify(fileURLToPath(new URL(`../../support/${name}.ts`, import.meta.url)));
  const victim = await startProcess(
    process.execPath,
    [
      ...['--import', 'tsx', '--input-type=module', '-e'],
      `import { startRedis } from ${module('redis')};
       import { startPostgres } from ${module('postgres')};
       import { startProcess } from ${module('processes')};
       import { createTempFolder } from ${module('reaper')};
       const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
       const child = await startProcess('sleep', ['1000']);
       child.freeze();
       console.log('started', JSON.stringify({
         ports: [redis.port, postgres.port], pid: child.pid, folder: createTempFolder('victim'),
       }));
       setInterval(() => {}, 1000);`,
    ],
    { readyLine: /started .*\n/, readyTimeoutMs: 20_000 },
  );
  const { ports, pid, folder } = JSON.parse(/started (.*)/.exec(victim.output())?.[1] ?? '') as {
    ports: number[];
    pid: number;
    folder: string;
  };
  expect(existsSync(folder)).toBe(true);

  process.kill(victim.pid, 'SIGKILL');
  await waitUntil(() => !isAlive(pid) && !existsSync(folder), { timeoutMs: 20_000 });
  for (const port of ports)
    await waitUntil(
      () => fetch(`http://127.0.0.1:${port}`).catch((error: unknown) => refused(error)),
      { timeoutMs: 20_000, what: `port ${port} to be closed` },
    );
});

function refused(error: unknown): boolean {
  return isNativeError(error) && (error.cause as { code?: string }).code === 'ECONNREFUSED';
}

test('a process is reported with its output when it ends before it is ready', async () => {
  await expect(
    startProcess(process.execPath, ['-e', 'console.error("no config"); process.exit(3)'], {
      readyLine: /listening/,
    }),
  ).rejects.toThrow(/no config/);
});
