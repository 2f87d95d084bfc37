/** The run that a cron makes when it is due, built like one that a client asks for at that moment. */
import { z } from 'zod';
import { FREE } from '../auth/gate.ts';
import type { Access, AuthGate } from '../auth/gate.ts';
import { forbidden } from '../auth/refusal.ts';
import { userOf } from '../auth/user.ts';
import type { CronRow } from '../crons/cron.ts';
import type { BuildRun, DueCron } from '../crons/fire.ts';
import { InputInvalidError } from './problem.ts';
import { newRunOf } from './run-request.ts';
import { RunCreate } from './schemas/run.ts';

/** Runs, and threads made for them, are found by it. */
const idsOf = ({ cron_id: cronId }: CronRow): { cron_id: string } => ({ cron_id: cronId });

/** The run is its maker's: whoever may no longer have it gets none. */
export const cronRunsOf =
  (auth: AuthGate | undefined): BuildRun =>
  async (db, cron) => {
    const body = RunCreate.safeParse({
      ...cron.payload,
      assistant_id: cron.assistant_id,
      metadata: { ...cron.metadata, ...idsOf(cron) },
      ...(cron.thread_id === null ? { on_completion: cron.on_run_completed } : {}),
    });
    if (!body.success)
      throw new InputInvalidError(
        `the payload of the cron is no run any more: ${z.prettifyError(body.error)}`,
      );
    const newRun = await newRunOf(
      db,
      body.data,
      cron.thread_id ?? undefined,
      {},
      accessOf(auth, cron),
    );
    if (cron.thread_id !== null) return newRun;
    return { ...newRun, threadMetadata: { ...newRun.threadMetadata, ...idsOf(cron) } };
  };

/** @throws {AuthRefusedError} made while no auth was configured: nobody knows whose its runs would be */
function accessOf(auth: AuthGate | undefined, { auth: user }: DueCron): Access {
  if (auth === undefined) return FREE;
  if (user === null) throw forbidden();
  return auth.accessOf(userOf(user));
}
