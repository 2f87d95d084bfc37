/**
 * The graphs that are measured, without a model. Plain JavaScript: a TypeScript loader in the worker would be
 * measured with them. raw/limits.mjs executes the same graphs without a server.
 */
import { Annotation, StateGraph } from '@langchain/langgraph';
import { existsSync } from 'node:fs';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { END, START, StateGraph as PregelGraph } from 'millrace';
import { z } from 'zod';

/** Monotonic and the same in all processes of a machine, in µs. */
const nowUs = () => Math.round(Number(process.hrtime.bigint()) / 1_000);
const GATE_LOOK_MS = 10;

const Count = Annotation.Root({ n: Annotation() });

/** One node, one superstep: what is left is the cost of a run. */
export const trivial = new StateGraph(Count)
  .addNode('add', ({ n }) => ({ n: n + 1 }))
  .addEdge('__start__', 'add')
  .compile();

/** The same on our own runtime. */
export const pregel = new PregelGraph(z.object({ n: z.number() }))
  .addNode('add', ({ n }) => ({ n: n + 1 }))
  .addEdge(START, 'add')
  .addEdge('add', END)
  .compile({ name: 'pregel' });

const Plan = Annotation.Root({
  /** Events to emit. */
  count: Annotation(),
  /** Let the event loop turn after so many events; 0: never. */
  yieldEvery: Annotation(),
  /** Events a second; 0: as fast as it goes. */
  perSecond: Annotation(),
  /** Characters of padding, as of a few tokens. */
  bytes: Annotation(),
  /** Hold after `gateAfter` events until this file exists; null: do not. */
  gate: Annotation(),
  gateAfter: Annotation(),
});

/** Each event carries its number and when it was emitted: clients check order and completeness, and know its age. */
async function emit(plan, { writer, signal }) {
  const { count, yieldEvery = 1, perSecond = 0, bytes = 32, gate = null, gateAfter = 0 } = plan;
  const p = 'x'.repeat(bytes);
  const begun = nowUs();
  for (let n = 0; n < count; n++) {
    if (gate !== null && n === gateAfter)
      while (!existsSync(gate)) await delay(GATE_LOOK_MS, undefined, { signal });
    if (perSecond > 0) {
      while (nowUs() - begun < (n * 1e6) / perSecond) await delay(1);
    } else if (yieldEvery > 0 && n % yieldEvery === 0) await turn();
    writer({ n, t: nowUs(), p });
  }
  if (gate !== null && count <= gateAfter)
    while (!existsSync(gate)) await delay(GATE_LOOK_MS, undefined, { signal });
  return {};
}

export const emitter = new StateGraph(Plan)
  .addNode('emit', emit)
  .addEdge('__start__', 'emit')
  .compile();

const PregelPlan = z.object({
  count: z.number(),
  yieldEvery: z.number().optional(),
  perSecond: z.number().optional(),
  bytes: z.number().optional(),
  gate: z.string().nullable().optional(),
  gateAfter: z.number().optional(),
});

/** The same on our own runtime. */
export const pregelEmitter = new PregelGraph(PregelPlan)
  .addNode('emit', (plan, context) =>
    emit(plan, { writer: (data) => context.write(data), signal: context.signal }),
  )
  .addEdge(START, 'emit')
  .addEdge('emit', END)
  .compile({ name: 'pregelEmitter' });
