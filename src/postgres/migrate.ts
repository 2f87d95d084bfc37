/**
 * Applies migrations/*.sql in order, once each. Two processes that start together are serialised by an
 * advisory lock; each file is one transaction with its row in `migrations`, so a crash leaves no half.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { AppError } from '../errors.ts';
import { createPool } from './pool.ts';
import type { Pool } from './pool.ts';

/** Any fixed number: it only has to be the same in every Millrace process. */
const MIGRATION_LOCK = 718_281_828;
const FOLDER = new URL('./migrations/', import.meta.url);

export class MigrationFailedError extends AppError {
  readonly code = 'migration_failed';
}

/**
 * @returns the names of the migrations that this call applied
 * @throws {MigrationFailedError} naming the file
 */
export async function migrate(pool: Pool): Promise<string[]> {
  const client = await pool.connect();
  const applied: string[] = [];
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await client.query(
      'CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
    );
    const { rows } = await client.query<{ name: string }>('SELECT name FROM migrations');
    const known = new Set(rows.map((row) => row.name));
    for (const name of migrationNames()) {
      if (known.has(name)) continue;
      const sql = readFileSync(new URL(name, FOLDER), 'utf8');
      try {
        await client.query(
          `BEGIN;\n${sql}\n;INSERT INTO migrations (name) VALUES ('${name}');COMMIT`,
        );
      } catch (cause) {
        await client.query('ROLLBACK');
        throw new MigrationFailedError(`migration ${name} failed, nothing of it was applied`, {
          cause,
        });
      }
      applied.push(name);
    }
    await client.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    client.release();
    return applied;
  } catch (error) {
    // Destroying the connection frees the lock whatever state it was in.
    client.release(true);
    throw error;
  }
}

/**
 * The same past a pooler: the lock that serialises two starters is a session's, and a pooler in transaction mode
 * would take it in one session and give it back in another. On a connection of its own, because a migration may take long.
 */
export async function migrateDirectly(
  urls: { DATABASE_URL: string; DATABASE_DIRECT_URL?: string | undefined },
  onError: (error: Error) => void,
): Promise<string[]> {
  const url = urls.DATABASE_DIRECT_URL ?? urls.DATABASE_URL;
  const direct = createPool({ url, connectionsMax: 1, name: 'millrace-migrate' }, onError);
  try {
    return await migrate(direct);
  } finally {
    await direct.end();
  }
}

export function migrationNames(): string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.sql'))
    .sort();
}
