/** The counting graph of probe.ts on our own runtime: same plan, same events, and one effect a step. */
import { randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { END, START, StateGraph } from '../../../src/pregel/index.ts';

const State = z.object({
  plan: z.object({
    steps: z.number(),
    events: z.number(),
    eventMs: z.number().optional(),
    /** A file: one line `tag step` for each step, written as an effect. */
    effects: z.string().optional(),
    tag: z.string().optional(),
  }),
  step: z.number().default(0),
  n: z.number().default(0),
});

/** Differs for each process. */
const EXECUTION = randomBytes(4).toString('hex');

export const counter = new StateGraph(State)
  .addNode('count', async ({ plan, step, n }, context) => {
    const { effects } = plan;
    if (effects !== undefined)
      await context.effect('note', () => {
        appendFileSync(effects, `${plan.tag} ${step}\n`);
      });
    for (let i = 0; i < plan.events; i++) {
      if (plan.eventMs !== undefined && plan.eventMs > 0)
        await delay(plan.eventMs, undefined, { signal: context.signal });
      context.write({ n: n + i, step, execution: EXECUTION });
    }
    return { step: step + 1, n: n + plan.events };
  })
  .addEdge(START, 'count')
  .addConditionalEdges('count', (state) => (state.step < state.plan.steps ? 'more' : 'done'), {
    more: 'count',
    done: END,
  })
  .compile({ name: 'counter' });
