import { migrate, migrationNames } from '../../../src/postgres/migrate.ts';
import { createEmptyDatabase, createTestDatabase } from '../../support/postgres.ts';

test('two migrators at once on an empty database apply each file once', async () => {
  const database = await createEmptyDatabase();
  const { pool } = database;
  try {
    const applied = await Promise.all([migrate(pool), migrate(pool)]);
    expect(applied.flat().sort()).toEqual(migrationNames());
    const { rows } = await pool.query('SELECT name FROM migrations ORDER BY name');
    expect(rows.map((row: { name: string }) => row.name)).toEqual(migrationNames());
    expect(await migrate(pool)).toEqual([]);
  } finally {
    await database.drop();
  }
});

test('databases of the template are migrated and separate', async () => {
  const [one, two] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  try {
    expect(await migrate(one.pool)).toEqual([]);
    await one.pool.query(`INSERT INTO migrations (name) VALUES ('mine')`);
    const { rowCount } = await two.pool.query(`SELECT 1 FROM migrations WHERE name = 'mine'`);
    expect(rowCount).toBe(0);
  } finally {
    await Promise.all([one.drop(), two.drop()]);
  }
});
