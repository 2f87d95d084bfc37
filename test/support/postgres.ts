/** A fresh, migrated database per test file. */
import { randomUUID } from 'node:crypto';
import { migrate } from '../../src/postgres/migrate.ts';
import { createPool, type Pool } from '../../src/postgres/pool.ts';

export interface TestDatabase {
  url: string;
  pool: Pool;
  drop(): Promise<void>;
}

export async function createTestDatabase(): Promise<TestDatabase> {
  const base = process.env['TEST_POSTGRES_URL'];
  if (base === undefined)
    throw new Error('TEST_POSTGRES_URL: expected the URL of a Postgres server');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const admin = open(base, 1);
  await admin.query(`CREATE DATABASE ${name}`);
  const url = new URL(base);
  url.pathname = `/${name}`;
  const pool = open(url.href, 10);
  await migrate(pool);
  return {
    url: url.href,
    pool,
    drop: async () => {
      await pool.end();
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}

function open(url: string, connectionsMax: number): Pool {
  return createPool({ url, connectionsMax, name: 'test' }, () => undefined);
}
