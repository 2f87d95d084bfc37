/** A copy has the row and the states of one moment, whatever happens to the thread meanwhile. */
import { newId } from '../../../src/ids.ts';
import { EVERYTHING } from '../../../src/postgres/visibility.ts';
import { copyThread } from '../../../src/threads/thread.ts';
import { createThread, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({ redis: false, worker: false });
});
afterAll(() => app.stop());

const CHECKPOINT = `INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, head, metadata)
  VALUES ($1, '', $2, '{}', '{}')`;

test('what changes between the row and the states is in neither', async () => {
  const { pool } = app.core;
  const [from, to] = [await createThread(app), newId()];
  await pool.query(`UPDATE threads SET "values" = '{"n":1}' WHERE thread_id = $1`, [from]);
  await pool.query(CHECKPOINT, [from, 'first']);
  const other = await pool.connect();
  try {
    await other.query('BEGIN');
    // The copy of the states waits for this; by then it has the row.
    await other.query('LOCK TABLE checkpoints IN ACCESS EXCLUSIVE MODE');
    const copied = copyThread(pool, from, to, EVERYTHING, {});
    await waitUntil(
      async () =>
        (
          await other.query(
            `SELECT 1 FROM pg_locks WHERE relation = 'checkpoints'::regclass AND NOT granted`,
          )
        ).rows.length > 0,
      { timeoutMs: 20_000, what: 'the copy to wait for the states' },
    );
    await other.query(CHECKPOINT, [from, 'second']);
    await other.query(`UPDATE threads SET "values" = '{"n":2}' WHERE thread_id = $1`, [from]);
    await other.query('COMMIT');
    expect((await copied)?.values).toEqual({ n: 1 });
  } finally {
    other.release(true);
  }
  const { rows } = await pool.query<{ checkpoint_id: string }>(
    'SELECT checkpoint_id FROM checkpoints WHERE thread_id = $1',
    [to],
  );
  expect(rows).toEqual([{ checkpoint_id: 'first' }]);
});
