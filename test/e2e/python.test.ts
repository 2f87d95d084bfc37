/**
 * The official Python SDK, unchanged: python/conversation.py holds the conversation and judges it. Skipped, and
 * said so, where Python or PyPI is missing.
 */
import { fileURLToPath } from 'node:url';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { UnavailableError } from '../support/download.ts';
import { startProcess } from '../support/processes.ts';
import { findPython } from '../support/python.ts';
import type { Python } from '../support/python.ts';
import { startRoundRobin } from '../support/round-robin.ts';
import type { RoundRobin } from '../support/round-robin.ts';
import { waitUntil } from '../support/wait-until.ts';

const GRAPHS = fileURLToPath(new URL('./graphs/langgraph.json', import.meta.url));
const CONVERSATION = fileURLToPath(new URL('./python/conversation.py', import.meta.url));
const SDK = 'langgraph-sdk==0.4.14';

let python: Python | undefined;
try {
  python = await findPython([3, 10], [SDK]);
} catch (error) {
  if (!(error instanceof UnavailableError)) throw error;
  process.stderr.write(`test/e2e/python.test.ts is skipped: ${error.message}\n`);
}

(python === undefined ? describe.skip : describe)(`the Python SDK (${SDK})`, () => {
  let cluster: Cluster;
  let balancer: RoundRobin;
  beforeAll(async () => {
    cluster = await startCluster({
      servers: 2,
      workers: 2,
      env: { ...PATIENT, LANGGRAPH_CONFIG_PATH: GRAPHS },
    });
    balancer = await startRoundRobin(cluster.servers.map(({ url }) => url));
  }, 120_000);
  afterAll(async () => {
    await balancer.close();
    await cluster.stop();
  }, 120_000);

  test('holds a whole conversation, through broken connections, with either of two servers', async () => {
    if (python === undefined) throw new Error('unreachable: the test is skipped');
    const talk = await startProcess(python.program, [CONVERSATION, balancer.url], {
      env: { ...python.env, PYTHONUNBUFFERED: '1' },
    });
    let cuts = 0;
    try {
      await waitUntil(
        () => {
          if (talk.output().split(/^CUT$/m).length - 1 > cuts) {
            cuts++;
            balancer.cut();
          }
          return talk.ended !== null;
        },
        { timeoutMs: 100_000, what: 'the conversation to end' },
      );
    } catch (cause) {
      const output = talk.output();
      await talk.kill();
      throw new Error(output, { cause });
    }
    process.stdout.write(talk.output());
    expect([talk.ended, talk.output()]).toEqual([
      0,
      expect.stringMatching(/^all \d+ steps passed$/m),
    ]);
    // They were broken, and it came back to the place where it was.
    expect(cuts).toBe(2);
    expect(talk.output()).toMatch(/attempting reconnect to Location: \S+\/join$/m);
    const back = balancer.seen.filter(({ path }) => path.endsWith('/stream'));
    expect(back.filter(({ headers }) => Number(headers['last-event-id']) >= 9)).toHaveLength(1);
  });
});
