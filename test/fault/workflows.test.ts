/** Nodes that talk while processes die and Redis stops: server and workers from dist/. */
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { waitUntil } from '../support/wait-until.ts';
import type { ExecutionView } from '../../src/workflows/execution.ts';
import {
  createWorkflow,
  example,
  executeWorkflow,
  studentAndTeacher,
} from '../support/workflows.ts';

const WAIT = { timeoutMs: 60_000 };
/** Who is not killed keeps what it holds, on a busy machine, too. */
const LEASES = { ...PATIENT, BUS_LEASE_SECS: '6' };
/** Executes, and answers no questions. */
const ASKER = { AGENT_SLOTS: '0', N_JOBS_PER_WORKER: '10' };

let cluster: Cluster;
const call: Parameters<typeof createWorkflow>[0] = async (method, path, body) => {
  const { status, body: answer } = await cluster.request(method, path, body);
  return { status, text: JSON.stringify(answer), json: () => answer };
};
const read = async (id: string): Promise<ExecutionView> =>
  (await call('GET', `/workflows/executions/${id}`)).json() as ExecutionView;
const ended = async (id: string): Promise<ExecutionView> => {
  await waitUntil(async () => !['pending', 'running'].includes((await read(id)).status), WAIT);
  return read(id);
};
const begin = async (document: Record<string, unknown>): Promise<string> => {
  const workflowId = await createWorkflow(call, document);
  return (await executeWorkflow(call, workflowId, { async_execution: true })).execution_id;
};
/** The question as its row tells: how often it was taken, and whether it is in hand. */
const question = async (id: string): Promise<{ deliveries: number; held: boolean } | undefined> => {
  const { rows } = await cluster.pool.query<{ deliveries: number; held: boolean }>(
    `SELECT deliveries, state = 'pending' AND coalesce(lease_until > now(), false) AS held
     FROM bus_messages WHERE scope = $1 AND type = 'QUERY'`,
    [id],
  );
  return rows[0];
};
const SLOW = { reply: 'a slow answer of nine words in five seconds', delay_ms: 600 };

describe('asker and answerer in different processes', () => {
  beforeAll(async () => {
    cluster = await startCluster({ workers: 0, env: LEASES });
    await cluster.startWorker('asker', ASKER);
  });
  afterEach(async () => {
    // Of a test that failed in between: the next one counts on who answers.
    for (const [name, worker] of cluster.workers) if (name !== 'asker') await worker.kill();
  });
  afterAll(() => cluster.stop());

  test('a question waits for a process that answers, which may begin later than it', async () => {
    const id = await begin(studentAndTeacher('pubsub'));
    await waitUntil(async () => (await question(id)) !== undefined, WAIT);
    expect((await read(id)).status).toBe('running');
    await cluster.startWorker('answerer', { N_JOBS_PER_WORKER: '1' });
    expect(await ended(id)).toMatchObject({
      status: 'success',
      attempt: 1,
      outputs: { student: 'Thank you, now I know.' },
    });
    await cluster.workers.get('answerer')?.kill();
  });

  test('when the answerer is killed in the middle, the next attempt answers', async () => {
    const id = await begin(studentAndTeacher('pubsub', { answer: SLOW }));
    const first = await cluster.startWorker('first', { N_JOBS_PER_WORKER: '1' });
    await waitUntil(async () => (await question(id))?.held === true, WAIT);
    await first.kill();
    await cluster.startWorker('second', { N_JOBS_PER_WORKER: '1' });
    const execution = await ended(id);
    expect(execution).toMatchObject({ status: 'success', attempt: 1 });
    expect(execution.communication_log[1]?.text).toBe(SLOW.reply);
    expect((await question(id))?.deliveries).toBe(2);
    await cluster.workers.get('second')?.kill();
  });

  test('an answerer that is stopped gives the question back at once', async () => {
    const id = await begin(studentAndTeacher('pubsub', { answer: SLOW }));
    // It answers nothing; and it is there before the other one has begun to answer.
    await cluster.startWorker('staying', { N_JOBS_PER_WORKER: '1', AGENT_SLOTS: '0' });
    const first = await cluster.startWorker('leaving', { N_JOBS_PER_WORKER: '1' });
    await waitUntil(async () => (await question(id))?.held === true, WAIT);
    await first.stop();
    expect((await question(id))?.held).toBe(false);
    await cluster.startWorker('last', { N_JOBS_PER_WORKER: '1' });
    expect(await ended(id)).toMatchObject({ status: 'success' });
    for (const name of ['staying', 'last']) await cluster.workers.get(name)?.kill();
  });

  test('when nobody answers, the error names who did not, in time', async () => {
    const id = await begin(studentAndTeacher('pubsub', { student: { ask_timeout_seconds: 1 } }));
    expect(await ended(id)).toMatchObject({
      status: 'error',
      error: {
        message: 'node "student" (ai-processor): teacher did not answer student within 1 s',
      },
    });
  });
});

test('an asker that is killed finds on its next attempt the answer to the question it asked', async () => {
  cluster = await startCluster({ workers: 0, env: LEASES });
  try {
    const asker = await cluster.startWorker('asker', ASKER);
    const id = await begin(studentAndTeacher('pubsub'));
    await waitUntil(async () => (await question(id)) !== undefined, WAIT);
    await asker.kill();
    // It answers, and then executes what the dead one left.
    await cluster.startWorker('heir', { N_JOBS_PER_WORKER: '1' });
    const execution = await ended(id);
    expect(execution).toMatchObject({ status: 'success', attempt: 2 });
    const { rows } = await cluster.pool.query<{ n: number }>(
      `SELECT count(*) AS n FROM bus_messages WHERE scope = $1 AND type = 'QUERY'`,
      [id],
    );
    expect(rows).toEqual([{ n: 1 }]);
    expect(execution.communication_log).toHaveLength(2);
  } finally {
    await cluster.stop();
  }
});

test('scenario 3 and the fourth test: Redis is stopped, pubsub falls back and says so', async () => {
  cluster = await startCluster({ workers: 1, env: PATIENT });
  try {
    const worker = cluster.workers.get('w1');
    const workflowId = await createWorkflow(call, example('04_pubsub_collaborative_qa.json'));
    const withRedis = await executeWorkflow(call, workflowId, { inputs: {} });
    expect(withRedis).toMatchObject({ status: 'success', communication: { used: 'pubsub' } });
    expect(worker?.output()).toMatch(/Using communication mode: pubsub/);
    expect(worker?.output()).toMatch(/Initialized Redis Pub\/Sub communication/);
    expect(worker?.output()).toContain(`Registered agent: node-${withRedis.execution_id}-student`);

    await cluster.redis.kill();
    const without = await executeWorkflow(call, workflowId, { inputs: {} });
    expect(without).toMatchObject({
      status: 'success',
      output: withRedis.output,
      communication: {
        requested: 'pubsub',
        used: 'simple',
        warning: expect.stringContaining('falling back to simple') as string,
      },
    });
    expect(worker?.output()).toMatch(
      /"level":"warn".*Failed to initialize Pub\/Sub mode, falling back to simple/,
    );
    expect(worker?.output()).toMatch(/Using communication mode: simple/);

    await cluster.redis.restart();
    await waitUntil(async () => {
      const again = await executeWorkflow(call, workflowId, { inputs: {} });
      return again.communication?.used === 'pubsub';
    }, WAIT);
  } finally {
    await cluster.stop();
  }
});

test('Redis goes away between question and answer: the answer comes all the same', async () => {
  cluster = await startCluster({ workers: 0, env: LEASES });
  try {
    await cluster.startWorker('asker', ASKER);
    await cluster.startWorker('answerer', { N_JOBS_PER_WORKER: '1' });
    const id = await begin(studentAndTeacher('pubsub', { answer: SLOW }));
    await waitUntil(async () => (await question(id))?.held === true, WAIT);
    await cluster.redis.kill();
    expect(await ended(id)).toMatchObject({ status: 'success', communication: { used: 'pubsub' } });
  } finally {
    await cluster.stop();
  }
});
