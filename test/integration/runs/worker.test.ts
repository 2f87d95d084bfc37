/** What one worker process does with runs that it loses, gets back, or takes at the wrong moment. */
import { Annotation, StateGraph } from '@langchain/langgraph';
import { requeueExpired } from '../../../src/runs/lease.ts';
import { createRun } from '../../../src/runs/create.ts';
import { createDeferred } from '../../../src/lib/deferred.ts';
import { nextRun } from '../../../src/runs/finish.ts';
import { claimTerm, createThread, endRun, newRun, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { talkingGraph } from '../../support/talking-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

interface Row {
  status: string;
  attempt: number;
  failures: number;
  lease_expires_at: Date | null;
}

async function rowOf({ core }: TestApp, runId: string): Promise<Row> {
  const { rows } = await core.pool.query<Row>(
    'SELECT status, attempt, failures, lease_expires_at FROM runs WHERE run_id = $1',
    [runId],
  );
  return rows[0] as Row;
}

test('a lost run that comes back to the same process keeps its lease when the first attempt leaves', async () => {
  const attempts = [createDeferred(), createDeferred(), createDeferred()];
  let begun = 0;
  const graph = new StateGraph(Annotation.Root({}))
    // Deaf to its signal, as a graph in the middle of a long call.
    .addNode('wait', async () => {
      await attempts[begun++]?.promise;
      return {};
    })
    .addEdge('__start__', 'wait')
    .compile();
  const app = await startTestApp({
    redis: false,
    graph,
    environment: {
      WORKER_HEARTBEAT_INTERVAL: '0.3',
      WORKER_HEARTBEAT_TTL: '10',
      N_JOBS_PER_WORKER: '2',
    },
  });
  try {
    const run = newRun(app, await createThread(app));
    await createRun(app.core.pool, run);
    await waitUntil(() => begun === 1, { timeoutMs: 20_000, what: 'the first attempt' });
    await waitUntil(
      async () => {
        await app.core.pool.query(
          `UPDATE runs SET lease_expires_at = now() - interval '1 s' WHERE run_id = $1 AND attempt = 1`,
          [run.runId],
        );
        // Claimed at once: before the first attempt hears that it has lost the run.
        const requeued = await requeueExpired(app.core.pool);
        app.core.queue.wake(requeued.map((lost) => ({ ...lost, delayMs: 0 })));
        return begun === 2;
      },
      { timeoutMs: 20_000, what: 'the second attempt' },
    );
    attempts[0]?.resolve();
    await waitUntil(() => app.worker.active().length === 1, {
      timeoutMs: 20_000,
      what: 'the first attempt to leave',
    });
    const { lease_expires_at: lease } = await rowOf(app, run.runId);
    // Renewed for longer than one lease lasts.
    const until = Number(lease) + 10_500;
    await waitUntil(
      async () => {
        const row = await rowOf(app, run.runId);
        return row.attempt > 2 || Number(row.lease_expires_at) > until;
      },
      { timeoutMs: 40_000, what: 'renewals' },
    );
    expect(await rowOf(app, run.runId)).toMatchObject({ status: 'running', attempt: 2 });
    expect(app.worker.active()).toHaveLength(1);
    attempts[1]?.resolve();
    await waitUntil(async () => (await rowOf(app, run.runId)).status === 'success', {
      timeoutMs: 20_000,
      what: 'the end',
    });
    expect(await rowOf(app, run.runId)).toMatchObject({ attempt: 2, failures: 1 });
  } finally {
    for (const attempt of attempts) attempt.resolve();
    await app.stop();
  }
});

test('a run that is being claimed as the worker stops is handed over', async () => {
  const app = await startTestApp({ redis: false, worker: false, graph: talkingGraph().graph });
  try {
    const run = newRun(app, await createThread(app), { input: { say: [], hold: true } });
    await createRun(app.core.pool, run);
    // The first look is under way when start() has settled.
    await app.worker.start();
    await app.worker.stop();
    expect(app.worker.active()).toEqual([]);
    expect(await rowOf(app, run.runId)).toMatchObject({
      status: 'pending',
      attempt: 1,
      failures: 0,
    });
  } finally {
    await app.stop();
  }
});

test('behind a running run the next one of its thread does not enter the ring', async () => {
  const app = await startTestApp({ redis: false, worker: false });
  try {
    const threadId = await createThread(app);
    const [first, second, third] = [1, 2, 3].map(() => newRun(app, threadId));
    for (const run of [first, second, third]) if (run) await createRun(app.core.pool, run);
    const owner = await claimTerm(app, String(first?.runId));
    const { pool } = app.core;
    await endRun(app, owner, owner.start - 1);
    // Another worker has found the second one before the end has said whose turn it is.
    await claimTerm(app, String(second?.runId));
    expect(await nextRun(pool, threadId)).toBeUndefined();
    const { rows } = await pool.query('SELECT ring_at FROM runs WHERE run_id = $1', [third?.runId]);
    expect(rows).toEqual([{ ring_at: null }]);
  } finally {
    await app.stop();
  }
});
