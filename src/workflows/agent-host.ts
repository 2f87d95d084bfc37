/**
 * Answers questions to nodes in this process, whichever process their execution is in. Every worker has one;
 * who has a free slot takes the question, and when it dies the next one does.
 */
import type { Bus } from '../bus/bus.ts';
import { nodeOfAgent } from '../bus/channels.ts';
import type { AgentMessage } from '../bus/message.ts';
import type { PubSubTransport } from '../bus/pubsub.ts';
import type { Service } from '../lib/service.ts';
import type { Db } from '../postgres/pool.ts';
import { replyTo } from './conversation.ts';
import { communicates } from './document.ts';
import { readExecutionPlan } from './execution.ts';
import type { NodeDeps } from './node-deps.ts';
import type { Documents } from './workflow.ts';

export interface AgentHostDeps {
  readonly db: Db;
  readonly transport: PubSubTransport;
  readonly bus: Bus;
  readonly documents: Documents;
  readonly models: NodeDeps['models'];
  /** Questions at once; 0: this process answers none. */
  readonly slots: number;
}

/** Start it after the bus and stop it before. */
export function createAgentHost(deps: AgentHostDeps): Service {
  async function handle(message: AgentMessage, signal: AbortSignal): Promise<void> {
    const agent = nodeOfAgent(message.to_agent);
    if (agent === undefined) return;
    const plan = await readExecutionPlan(deps.db, agent.executionId);
    // It ended meanwhile: nobody waits.
    if (plan?.status !== 'running') return;
    const document = await deps.documents.get(plan.workflowId, plan.version);
    const node = document.nodes.filter(communicates).find(({ id }) => id === agent.nodeId);
    if (node === undefined) return;
    await replyTo(deps.bus, deps, node, { message, inputs: plan.inputs, signal });
  }

  return {
    start: () => deps.transport.host({ slots: deps.slots, handle }),
    // What is in hand is given back when the bus stops.
    stop: () => deps.transport.host({ slots: 0, handle }),
  };
}
