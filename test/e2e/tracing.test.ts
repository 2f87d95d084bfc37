/** One trace from the client's span over the POST and the queue to every superstep, across processes from dist/. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import type { OtlpReceiver, ReceivedSpan } from '../support/otlp-receiver.ts';
import { waitUntil } from '../support/wait-until.ts';

const CLIENT = { trace: 'a'.repeat(32), span: 'b'.repeat(16) };
const GRAPHS = fileURLToPath(new URL('./graphs/', import.meta.url));

let receiver: OtlpReceiver;
let cluster: Cluster;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
  cluster = await startCluster({
    env: {
      ...PATIENT,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      LANGGRAPH_CONFIG_PATH: join(GRAPHS, 'langgraph.json'),
    },
  });
});
afterAll(async () => {
  await cluster.stop();
  await receiver.stop();
});

test('the spans of a run are one trace, under the span of its client', async () => {
  const answer = await fetch(`${cluster.url}/runs/wait`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      traceparent: `00-${CLIENT.trace}-${CLIENT.span}-01`,
    },
    body: JSON.stringify({
      assistant_id: 'counter',
      input: { steps: 2, delayMs: 5, deaf: false },
    }),
  });
  expect(answer.status).toBe(200);
  const named = (name: string): ReceivedSpan[] =>
    receiver.spans.filter((span) => span.traceId === CLIENT.trace && span.name === name);
  await waitUntil(() => named('run').length === 1 && named('POST /runs/wait').length === 1, {
    timeoutMs: 20_000,
    what: 'the spans of both processes',
  });

  const [request] = named('POST /runs/wait');
  const [run] = named('run');
  expect(request?.parentSpanId).toBe(CLIENT.span);
  expect(run?.parentSpanId).toBe(request?.spanId);
  expect(run?.instance).not.toBe(request?.instance);
  for (const name of ['queue wait', 'claim']) {
    expect(named(name).map((span) => span.parentSpanId)).toEqual([request?.spanId]);
    expect(named(name)[0]?.attribute('run.id')).toBe(run?.attribute('run.id'));
  }
  for (const name of ['open', 'execute', 'end'])
    expect(named(name).map((span) => span.parentSpanId)).toEqual([run?.spanId]);
  // The input is a step, -1, and then the two nodes follow.
  const steps = named('superstep');
  expect(steps.map((span) => span.attribute('graph.step'))).toEqual(['-1', '0', '1', '2']);
  for (const step of steps) expect(step.parentSpanId).toBe(run?.spanId);
  const starts = steps.map((span) => BigInt(span.startTimeUnixNano));
  const ends = steps.map((span) => BigInt(span.endTimeUnixNano));
  starts.slice(1).forEach((start, i) => {
    expect(start).toBe(ends[i]);
  });
});

test('the client is not shown what is kept for the trace', async () => {
  const { rows } = await cluster.pool.query<{ trace: string | null }>(
    `SELECT kwargs->>'trace' AS trace FROM runs LIMIT 1`,
  );
  expect(rows.length === 0 || rows[0]?.trace?.startsWith(`00-${CLIENT.trace}-`)).toBe(true);
  const { body } = await cluster.request('POST', '/runs', { assistant_id: 'counter', input: {} });
  expect(JSON.stringify(body)).not.toContain('"trace"');
});

test('nobody who probes makes spans', () => {
  expect(receiver.spans.filter((span) => /ok|metrics|ready/.test(span.name))).toEqual([]);
});
