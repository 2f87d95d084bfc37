/** A run of the probe with a client that follows it from the start: the smallest thing that a fault must not hurt. */
import type { Cluster } from './cluster.ts';
import type { Plan } from './fault-project/probe.ts';
import { violationsIn } from './verify.ts';
import { openVisitor } from './visitor.ts';
import type { Visitor } from './visitor.ts';

/** For what goes on after a fault on a busy machine. */
const WHOLE_MS = 60_000;

export interface FollowedRun {
  readonly threadId: string;
  readonly runId: string;
  readonly visitor: Visitor;
  /** Events of the probe. */
  readonly expected: number;
}

/** @param threadId one that is there already */
export async function followRun(
  cluster: Cluster,
  plan: Plan,
  threadId?: string,
): Promise<FollowedRun> {
  const on = threadId ?? (await cluster.createThread());
  const runId = await cluster.createRun(on, plan);
  const visitor = openVisitor(`${cluster.url}/threads/${on}/runs/${runId}/stream`);
  return { threadId: on, runId, visitor, expected: plan.steps * plan.events };
}

/** Waits for its end; its worker had it all the time, and the client has all of it. */
export async function expectWhole(cluster: Cluster, run: FollowedRun): Promise<void> {
  await run.visitor.now.end(WHOLE_MS);
  const clients = [run.visitor.sessions];
  expect(await violationsIn(cluster, { ...run, clients })).toEqual([]);
  expect(await cluster.row(run.runId)).toMatchObject({
    status: 'success',
    attempt: 1,
    failures: 0,
  });
}
