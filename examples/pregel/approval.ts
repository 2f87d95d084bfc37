/** A question to a human, an effect that happens once, and a graph inside a graph. */
import { z } from 'zod';
import { END, reduced, START, StateGraph } from '../../src/pregel/index.ts';

const Order = z.object({
  item: z.string(),
  approved: z.boolean().optional(),
  receipt: z.string().optional(),
  log: reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] }),
});

const payment = new StateGraph(Order)
  .addNode('charge', async (order, context) => {
    const receipt = await context.effect('charge', () => `receipt for ${order.item}`);
    return { receipt };
  })
  .addEdge(START, 'charge')
  .compile({ name: 'payment' });

export const graph = new StateGraph(Order)
  .addNode('ask', (order, context) => {
    const approved = context.interrupt<boolean>({
      question: 'Shall this be ordered?',
      item: order.item,
    });
    context.write({ approved });
    return { approved, log: [`approved: ${approved}`] };
  })
  .addNode('pay', async (order) => {
    const { receipt } = await payment.invoke({ item: order.item });
    return { receipt, log: ['paid'] };
  })
  .addEdge(START, 'ask')
  .addConditionalEdges('ask', (order) => (order.approved === true ? 'yes' : 'no'), {
    yes: 'pay',
    no: END,
  })
  .compile({ name: 'approval' });
