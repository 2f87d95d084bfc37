/** A client that is gone without a FIN: its machine sleeps, its cable is out. The server has to find out by itself. */
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startOtherMachine, whyNoOtherMachine } from '../support/network.ts';
import type { OtherMachine } from '../support/network.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';

/** Far below the quarter of an hour that the kernel would take. */
const FREED_MS_MAX = 60_000;
/** Reads streams, and says when each has begun. */
const READER = `
  for (const url of process.argv.slice(1))
    fetch(url).then(async ({ body }) => {
      let begun = false;
      for await (const chunk of body) if (!begun) { begun = true; console.log('begun'); }
    });`;

const why = whyNoOtherMachine();
const title = why === undefined ? 'from another machine' : `from another machine (skipped: ${why})`;
(why === undefined ? describe : describe.skip)(title, () => {
  let cluster: Cluster;
  let machine: OtherMachine;
  beforeAll(async () => {
    cluster = await startCluster({ env: { ...PATIENT, HOST: '0.0.0.0' } });
    machine = await startOtherMachine();
  });
  afterAll(async () => {
    await machine.stop();
    await cluster.stop();
  });

  async function streams(): Promise<number> {
    const { body } = await cluster.request('GET', '/metrics');
    return Number(/^millrace_sse_clients(?:\{.*\})? (\d+)$/m.exec(String(body))?.[1]);
  }

  test('[31] clients that vanish without FIN are let go, of a silent run and of one that writes; the runs and other clients go on', async () => {
    const plans = [
      { steps: 1, events: 2, atStep: 0, then: 'silent', forMs: 600_000 },
      { steps: 4, events: 300, eventMs: 20 },
    ] as const;
    const [silent, writing] = await Promise.all(
      plans.map(async (plan) => {
        const threadId = await cluster.createThread();
        return { threadId, runId: await cluster.createRun(threadId, plan) };
      }),
    );
    if (silent === undefined || writing === undefined) throw new Error('no runs');
    const pathOf = (run: { threadId: string; runId: string }): string =>
      `/threads/${run.threadId}/runs/${run.runId}/stream`;
    const visitor = openVisitor(cluster.url + pathOf(writing));
    await visitor.now.until(10);
    const urls = [silent, writing].map(
      (run) => `http://${machine.hostAddress}:${new URL(cluster.url).port}${pathOf(run)}`,
    );
    await machine.start(process.execPath, ['-e', READER, ...urls], /begun\s+begun/);
    expect(await streams()).toBe(3);
    machine.vanish();
    await waitUntil(async () => (await streams()) <= 1, {
      timeoutMs: FREED_MS_MAX,
      what: 'the two streams to be let go',
    });
    await visitor.now.end(60_000);
    const evidence = { ...writing, clients: [visitor.sessions], expected: 1_200 };
    expect(await violationsIn(cluster, evidence)).toEqual([]);
    expect(await cluster.row(silent.runId)).toMatchObject({ status: 'running', attempt: 1 });
  });
});
