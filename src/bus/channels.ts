/** Every channel name of the bus, as documented, and the ids of agents. No other file builds one. */

export interface BusChannels {
  /** One agent's own channel. */
  agent(agentId: string): string;
  /** Heard by all. */
  readonly broadcast: string;
  /** Pattern: the channels of all nodes of all executions. */
  readonly nodes: string;
  /** The agent of a channel; undefined when the channel is none of an agent. */
  agentOf(channel: string): string | undefined;
}

/** @param prefix `agent:messages` unless the deployment says otherwise (BUS_CHANNEL_PREFIX) */
export function createBusChannels(prefix: string): BusChannels {
  const broadcast = `${prefix}:broadcast`;
  return {
    agent: (agentId) => `${prefix}:${agentId}`,
    broadcast,
    nodes: `${prefix}:node-*`,
    agentOf: (channel) =>
      channel.startsWith(`${prefix}:`) && channel !== broadcast
        ? channel.slice(prefix.length + 1)
        : undefined,
  };
}

/** A node of an execution, as an agent. An execution's id is a UUID, so the parts can be told apart. */
export const nodeAgentId = (executionId: string, nodeId: string): string =>
  `node-${executionId}-${nodeId}`;

const NODE_AGENT = /^node-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})-(.+)$/;

/** @returns undefined when the agent is no node */
export function nodeOfAgent(agentId: string): { executionId: string; nodeId: string } | undefined {
  const [, executionId, nodeId] = NODE_AGENT.exec(agentId) ?? [];
  return executionId === undefined || nodeId === undefined ? undefined : { executionId, nodeId };
}

/** How people know an agent: a node by its name in the document. */
export const agentName = (agentId: string): string => nodeOfAgent(agentId)?.nodeId ?? agentId;
