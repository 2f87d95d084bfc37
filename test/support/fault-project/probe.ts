/**
 * The instrumented graph of the fault tests (SCENARIOS.md): counts, step by step, says which execution
 * counted, leaves a trace of its side effects, and can be silent, block, ignore its signal, fail, or kill its
 * process. One step is one superstep with a checkpoint.
 */
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';

export interface Plan {
  /** Supersteps. */
  steps: number;
  /** Events of one step. */
  events: number;
  /** Pause after each event. */
  eventMs?: number;
  /** Before each event the process stands still for so long, as in a tool that computes. */
  spinMs?: number;
  /** Extra characters in each event. */
  padding?: number;
  /** At the beginning of this step … */
  atStep?: number;
  /** … do this. `once` (a file) makes it happen in the first execution only. */
  then?: 'kill' | 'block' | 'ignore-signal' | 'fail' | 'silent' | 'transient' | 'nested';
  forMs?: number;
  /** A file: `silent` lasts until it is there. */
  until?: string;
  /** Who has done it then emits so many more events of that step at once, before the event loop turns. */
  burst?: number;
  once?: string;
  /** A file: one line `step execution` for each step that was begun, `misbehaved execution`, and `done execution` at that step's end. */
  trace?: string;
}

const State = Annotation.Root({
  plan: Annotation<Plan>(),
  step: Annotation<number>({ reducer: (_old, now) => now, default: () => 0 }),
  n: Annotation<number>({ reducer: (_old, now) => now, default: () => 0 }),
});

/** Differs for each process. */
const EXECUTION = randomBytes(4).toString('hex');

/** Stands for a tool in a graph within the graph: lasts until its signal tells it to stop, and notes that. */
const tool = new StateGraph(State)
  .addNode('tool', async ({ plan }, config: LangGraphRunnableConfig) => {
    await delay(plan.forMs ?? 0, undefined, { signal: config.signal }).catch((error: unknown) => {
      if (plan.trace !== undefined) appendFileSync(plan.trace, `aborted ${EXECUTION}\n`);
      throw error;
    });
    return {};
  })
  .addEdge(START, 'tool')
  .compile();

/** @returns whether it has, or another execution had before */
async function misbehave(plan: Plan, config: LangGraphRunnableConfig): Promise<boolean> {
  if (plan.once !== undefined) {
    if (existsSync(plan.once)) return false;
    writeFileSync(plan.once, EXECUTION);
  }
  const forMs = plan.forMs ?? 0;
  switch (plan.then) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      break;
    case 'block': {
      // What is under way is answered first: else it times out in the block, and the direct path is tried.
      await delay(100);
      if (plan.trace !== undefined) appendFileSync(plan.trace, `blocks ${EXECUTION}\n`);
      const until = Date.now() + forMs;
      while (Date.now() < until);
      break;
    }
    case 'ignore-signal':
    case 'silent':
      await delay(forMs);
      while (plan.until !== undefined && !existsSync(plan.until)) await delay(50);
      break;
    case 'nested':
      await tool.invoke({ plan }, config);
      break;
    case 'fail':
      throw new RangeError('the probe was told to fail');
    case 'transient':
      throw Object.assign(new Error('connection lost'), { code: 'ECONNRESET' });
    case undefined:
  }
  return true;
}

async function step(
  state: typeof State.State,
  config: LangGraphRunnableConfig,
): Promise<typeof State.Update> {
  const { plan } = state;
  let { n } = state;
  const padding = 'x'.repeat(plan.padding ?? 0);
  const emit = (): void =>
    config.writer?.({ n: n++, step: state.step, execution: EXECUTION, padding });
  const note = (what: string): void => {
    if (plan.trace !== undefined) appendFileSync(plan.trace, `${what} ${EXECUTION}\n`);
  };
  note(`${state.step}`);
  const misbehaved = plan.atStep === state.step && (await misbehave(plan, config));
  if (misbehaved) {
    note('misbehaved');
    for (let i = 0; i < (plan.burst ?? 0); i++) emit();
  }
  for (let i = 0; i < plan.events; i++) {
    for (const until = Date.now() + (plan.spinMs ?? 0); Date.now() < until;);
    if (plan.eventMs !== undefined && plan.eventMs > 0) {
      if (plan.then === 'ignore-signal') await delay(plan.eventMs);
      else
        await delay(
          plan.eventMs,
          undefined,
          config.signal === undefined ? {} : { signal: config.signal },
        );
    }
    emit();
  }
  if (misbehaved) note('done');
  return { step: state.step + 1, n };
}

export const probe = new StateGraph(State)
  .addNode('count', step)
  .addEdge(START, 'count')
  .addConditionalEdges('count', (state) => (state.step < state.plan.steps ? 'count' : END))
  .compile();
