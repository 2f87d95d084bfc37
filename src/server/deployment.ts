/**
 * The state of the whole deployment, for metrics, readiness and autoscaling: one look serves all who ask within
 * a second, so that neither scrapers nor probes weigh on Postgres.
 */
import { readConsumerGroupLag } from '../consumer-groups/lag.ts';
import type { ConsumerGroupLag } from '../consumer-groups/lag.ts';
import { readArchiveLag } from '../events/lag.ts';
import type { ArchiveLag } from '../events/lag.ts';
import { isTransient } from '../postgres/pool.ts';
import { readBacklog, wantedWorkers } from '../runs/backlog.ts';
import type { Backlog } from '../runs/backlog.ts';
import type { ServerDeps } from './deps.ts';
import type { PostgresGuard } from './postgres-guard.ts';
import { PostgresUnavailableError } from './postgres-guard.ts';

const LOOK_AGE_MAX_MS = 1_000;
/** Redis must answer within this, or what only it knows is left out. */
const REDIS_LIMIT_MS = 1_000;

export interface DeploymentState {
  /** undefined: Postgres does not answer. */
  readonly backlog: Backlog | undefined;
  /** By name, GROUPS_MAX at most; undefined: Postgres does not answer. */
  readonly consumerGroups: readonly ConsumerGroupLag[] | undefined;
  /** undefined: there is no Redis, or it does not answer. */
  readonly lag: ArchiveLag | undefined;
  /** undefined: the queue cannot tell. */
  readonly wakeUps: number | undefined;
  /** undefined: Postgres does not answer. */
  readonly workersWanted: number | undefined;
}

export interface Deployment {
  look(): Promise<DeploymentState>;
}

export function createDeployment(
  deps: Pick<ServerDeps, 'pool' | 'reader' | 'submit' | 'config'>,
  guard: PostgresGuard,
): Deployment {
  const { config, pool, reader, submit } = deps;
  let last: { at: number; state: Promise<DeploymentState> } | undefined;

  /** undefined: it does not answer, refuses, or breaks off. */
  async function ofPostgres<T>(look: Promise<T>): Promise<T | undefined> {
    try {
      return await guard.watch(look);
    } catch (error) {
      if (error instanceof PostgresUnavailableError || isTransient(error)) return undefined;
      throw error;
    }
  }

  async function lagNow(): Promise<ArchiveLag | undefined> {
    if (reader.redis?.status !== 'ready') return undefined;
    return within(readArchiveLag(reader.redis, reader.keys));
  }

  async function lookNow(): Promise<DeploymentState> {
    const [backlog, consumerGroups, lag, wakeUps] = await Promise.all([
      ofPostgres(readBacklog(pool)),
      ofPostgres(readConsumerGroupLag(pool)),
      lagNow(),
      within(submit.queue.depth()),
    ]);
    const workersWanted =
      backlog &&
      wantedWorkers(backlog, {
        min: config.WORKERS_MIN,
        max: config.WORKERS_MAX,
        slotsDefault: config.N_JOBS_PER_WORKER,
      });
    return { backlog, consumerGroups, lag, wakeUps, workersWanted };
  }

  return {
    look() {
      if (last === undefined || Date.now() - last.at > LOOK_AGE_MAX_MS) {
        const state = lookNow();
        last = { at: Date.now(), state };
        // A failed look is no answer for the next who asks.
        state.catch(() => (last = undefined));
      }
      return last.state;
    },
  };
}

async function within<T>(work: Promise<T>): Promise<T | undefined> {
  let limit: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    limit = setTimeout(() => {
      resolve(undefined);
    }, REDIS_LIMIT_MS);
  });
  return Promise.race([work.catch(() => undefined), late]).finally(() => {
    clearTimeout(limit);
  });
}
