/**
 * Empties a deployment, for tests between two cases. Active runs are stopped first, so that no worker writes after
 * the answer; a run that is made meanwhile goes with its thread, whose missing row fences its worker.
 */
import type { Response } from 'express';
import type { z } from 'zod';
import { transaction } from '../postgres/pool.ts';
import { EVERYTHING } from '../postgres/visibility.ts';
import { activeRuns } from '../runs/find.ts';
import type { RouteContext } from './context.ts';
import { cancelAndWait } from './run-cancel.ts';
import type { TruncateBody } from './schemas/system.ts';

const ACTIVE_MAX = 10_000;

const CHECKPOINTS = ['checkpoint_writes', 'checkpoint_blobs', 'checkpoints'];
const LOG = ['events', 'terms', 'voids'];

export async function truncate(
  context: RouteContext,
  response: Response,
  parts: z.output<typeof TruncateBody>,
): Promise<void> {
  const { pool, guard } = context;
  const { runs, threads, assistants, checkpointer, store } = parts;
  if (runs || threads || checkpointer) await stopRuns(context, response);
  const statements = [
    ...(threads ? ['threads', ...LOG] : []).map((table) => `DELETE FROM ${table}`),
    ...(threads || checkpointer ? CHECKPOINTS : []).map((table) => `DELETE FROM ${table}`),
    // A log without its runs is unreadable; its positions go on, so nothing is given out twice.
    ...(runs && !threads
      ? [
          `INSERT INTO voids (thread_id, first_seq, last_seq)
           SELECT thread_id, first_seq, last_seq FROM runs WHERE first_seq <= last_seq ON CONFLICT DO NOTHING`,
          'DELETE FROM events',
          'DELETE FROM runs',
        ]
      : []),
    ...(runs || threads ? ['DELETE FROM idempotency_keys'] : []),
    ...(assistants
      ? [`DELETE FROM assistants WHERE NOT metadata @> '{"created_by": "system"}'`]
      : []),
    ...(store ? ['DELETE FROM store_items'] : []),
  ];
  await guard.watch(
    transaction(pool, async (db) => {
      for (const statement of statements) await db.query(statement);
    }),
  );
}

async function stopRuns(context: RouteContext, response: Response): Promise<void> {
  const active = await context.guard.watch(
    activeRuns(context.pool, ['pending', 'running'], ACTIVE_MAX, EVERYTHING),
  );
  await Promise.all(
    [...active].map(([threadId, runIds]) =>
      cancelAndWait(context, threadId, runIds, 'rollback', response, EVERYTHING),
    ),
  );
}
