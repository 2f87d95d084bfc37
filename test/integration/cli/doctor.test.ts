/** `millrace doctor` tells a healthy pair from one that would lose data. */
import { inspectPostgres } from '../../../src/postgres/inspect.ts';
import { inspectRedis } from '../../../src/redis/inspect.ts';
import type { Finding } from '../../../src/lib/finding.ts';
import { createEmptyDatabase, createTestDatabase } from '../../support/postgres.ts';
import { startRedis } from '../../support/redis.ts';

const wrong = (findings: readonly Finding[]): string[] =>
  findings.filter((finding) => finding.state === 'wrong').map((finding) => finding.what);

test('a Redis that evicts is wrong, and the setting is named', async () => {
  const redis = await startRedis({ maxmemoryPolicy: 'allkeys-lru', maxmemory: '64mb' });
  const findings = await inspectRedis(redis.url);
  expect(wrong(findings)).toEqual([expect.stringContaining('maxmemory-policy allkeys-lru')]);
  expect(findings.find((finding) => finding.state === 'wrong')?.mend).toContain('noeviction');
  await redis.stop();
});

test('a healthy pair has nothing to mend', async () => {
  const redis = await startRedis({ appendonly: true, maxmemory: '64mb' });
  const found = await inspectRedis(redis.url);
  expect(found.filter((finding) => finding.state !== 'ok')).toEqual([]);
  await redis.stop();

  const database = await createTestDatabase();
  const findings = await inspectPostgres(database.url, database.url);
  // Test servers run without fsync, and a test may be given a small one.
  const about = findings.filter(({ what }) => !/fsync|max_connections/.test(what));
  expect(about.filter((finding) => finding.state !== 'ok')).toEqual([]);
  expect(about.map((finding) => finding.what).join()).toContain('NOTIFY arrives');
  await database.drop();
});

test('a database without the schema is told apart', async () => {
  const database = await createEmptyDatabase();
  const findings = await inspectPostgres(database.url, database.url);
  expect(findings.map((finding) => finding.what)).toContain('Postgres: no schema yet');
  await database.drop();
});

test('servers that are away are named, without their password', async () => {
  expect(wrong(await inspectRedis('redis://127.0.0.1:1'))).toEqual([
    expect.stringContaining('redis://127.0.0.1:1'),
  ]);
  expect(
    wrong(await inspectPostgres('postgres://127.0.0.1:1/x', 'postgres://127.0.0.1:1/x')),
  ).toEqual([expect.stringContaining('ECONNREFUSED')]);
});
