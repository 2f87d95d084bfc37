/** `millrace migrate`: brings the schema up to date. Servers and workers do so at start, too. */
import { migrate } from '../postgres/migrate.ts';
import { createPool } from '../postgres/pool.ts';
import { createLog } from '../telemetry/log.ts';
import { ensureDatabase, readProjectConfig } from './run-services.ts';

export async function migrateCommand(): Promise<number> {
  const config = readProjectConfig();
  const log = createLog({ level: config.LOG_LEVEL, format: 'text', name: 'migrate' });
  const database = await ensureDatabase(config, log);
  const pool = createPool(
    // Not through a pooler: see migrateDirectly.
    {
      url: config.DATABASE_DIRECT_URL ?? database.url,
      connectionsMax: 1,
      name: 'millrace-migrate',
    },
    (error) => {
      log.error('postgres', { error });
    },
  );
  try {
    const applied = await migrate(pool);
    log.info(applied.length === 0 ? 'schema is up to date' : 'schema migrated', { applied });
    return 0;
  } finally {
    await pool.end();
    await database.stop();
  }
}
