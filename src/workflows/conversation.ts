/**
 * The nodes of one execution as agents that talk, for one attempt at it. In mode `simple` within this process,
 * on a bus of its own; in mode `pubsub` through Redis, where any worker may answer. `pubsub` without Redis
 * becomes `simple`, with a warning that the execution shows.
 */
import type { Agent, Bus } from '../bus/bus.ts';
import { AgentSilentError, createBus } from '../bus/bus.ts';
import { nodeAgentId } from '../bus/channels.ts';
import { MessageInvalidError, timestamp } from '../bus/message.ts';
import type { AgentMessage } from '../bus/message.ts';
import { createSimpleTransport } from '../bus/simple.ts';
import { AppError } from '../errors.ts';
import { answerQuestion } from './answer.ts';
import { communicates } from './document.ts';
import type { AiNode, WorkflowDocument } from './document.ts';
import type { NodeDeps } from './node-deps.ts';
import type { Communication } from './state.ts';

/** The node that was asked could not answer. */
export class AnswerFailedError extends AppError {
  readonly code = 'node_failed';
}

export interface ConversationDeps extends NodeDeps {
  /** The bus between processes. */
  readonly pubsub: Bus;
  onTrouble(what: string, error: unknown): void;
}

export interface Question {
  readonly from: string;
  readonly to: string;
  readonly question: string;
  readonly context: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** The same on every attempt at the node that asks. */
  readonly key: string;
  onSent(message: AgentMessage): void;
}

export interface Conversation {
  readonly communication: Communication;
  /**
   * @throws {AgentSilentError} naming who did not answer
   * @throws {AnswerFailedError} naming who could not
   */
  ask(question: Question): Promise<{ answer: string; message: AgentMessage }>;
  broadcast(from: string, content: Record<string, unknown>): Promise<AgentMessage>;
  close(): Promise<void>;
}

/** What a question's answer is made of, in both modes. */
export interface QueryContent {
  question: string;
  context: Record<string, unknown>;
}

export async function openConversation(
  deps: ConversationDeps,
  document: WorkflowDocument,
  execution: { id: string; inputs: Readonly<Record<string, unknown>> },
): Promise<Conversation> {
  const requested = document.metadata.communication_mode;
  const log = deps.log.child({ execution_id: execution.id });
  const nodes = document.nodes.filter(communicates);
  let warning: string | null = null;
  let opened: { bus: Bus; agents: Agent[]; close(): Promise<void> } | undefined;
  if (requested === 'pubsub')
    try {
      opened = await openPubSub(deps, nodes, execution.id);
      log.info('Initialized Redis Pub/Sub communication');
    } catch (error) {
      warning = 'Failed to initialize Pub/Sub mode, falling back to simple: Redis does not answer';
      log.warn(warning, { error });
    }
  opened ??= await openSimple(deps, nodes, execution);
  const { bus } = opened;
  log.info(`Using communication mode: ${bus.mode}`);
  for (const { id } of opened.agents) log.info(`Registered agent: ${id}`);

  const agentOf = (node: string): string => nodeAgentId(execution.id, node);
  return {
    communication: { requested, used: bus.mode, warning },
    async ask({ from, to, question, context, key, timeoutMs, signal, onSent }) {
      const message = await bus.ask({
        id: `query:${from}:${to}:${timestamp()}`,
        from: agentOf(from),
        to: agentOf(to),
        content: { question, context } satisfies QueryContent,
        scope: execution.id,
        key,
        timeoutMs,
        signal,
        onSent,
      });
      if (message.type === 'ERROR')
        throw new AnswerFailedError(
          `${to} could not answer ${from}: ${String(message.content['error'])}`,
        );
      return { answer: String(message.content['response']), message };
    },
    broadcast: (from, content) =>
      bus.broadcast({ from: agentOf(from), content, scope: execution.id }),
    close: () => opened.close(),
  };
}

async function openPubSub(
  deps: ConversationDeps,
  nodes: readonly AiNode[],
  executionId: string,
): Promise<{ bus: Bus; agents: Agent[]; close(): Promise<void> }> {
  const bus = deps.pubsub;
  if (!bus.available()) throw new AgentSilentError('Redis is not configured, or does not answer');
  const agents: Agent[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(agents.map((agent) => agent.close()));
  };
  try {
    // One after the other: the subscriber's connection is one, and a failure closes those before it.
    for (const { id } of nodes)
      agents.push(await bus.subscribe(nodeAgentId(executionId, id), executionId));
  } catch (error) {
    await close();
    throw error;
  }
  return { bus, agents, close };
}

async function openSimple(
  deps: ConversationDeps,
  nodes: readonly AiNode[],
  execution: { id: string; inputs: Readonly<Record<string, unknown>> },
): Promise<{ bus: Bus; agents: Agent[]; close(): Promise<void> }> {
  const transport = createSimpleTransport(deps);
  const bus = createBus(transport, deps);
  const agents: Agent[] = [];
  for (const node of nodes) {
    const agent = await bus.subscribe(nodeAgentId(execution.id, node.id), execution.id);
    agent.registerHandler('QUERY', (message, signal) =>
      replyTo(bus, deps, node, { message, inputs: execution.inputs, signal }),
    );
    agents.push(agent);
  }
  return { bus, agents, close: () => transport.stop() };
}

/** Answers one question to a node; a model that fails is an answer, too: the asker need not wait for it. */
export async function replyTo(
  bus: Bus,
  deps: Pick<NodeDeps, 'models'>,
  node: AiNode,
  given: {
    message: AgentMessage;
    inputs: Readonly<Record<string, unknown>>;
    signal: AbortSignal;
  },
): Promise<void> {
  const { message, inputs, signal } = given;
  const { question, context } = message.content as unknown as QueryContent;
  const reply = {
    from: message.to_agent,
    to: message.from_agent,
    replyTo: message.id,
    scope: message.scope ?? undefined,
  };
  let response: string;
  try {
    response = await answerQuestion(deps.models, node, { question, context, inputs, signal });
  } catch (error) {
    signal.throwIfAborted();
    const text = error instanceof Error ? error.message : String(error);
    await bus.sendTaskResponse({ ...reply, type: 'ERROR', result: { error: text } });
    return;
  }
  try {
    await bus.sendTaskResponse({ ...reply, type: 'RESPONSE', result: { response } });
  } catch (error) {
    // Too long, say: another try would end the same way. One that only did not get through is made again.
    if (!(error instanceof MessageInvalidError)) throw error;
    await bus.sendTaskResponse({ ...reply, type: 'ERROR', result: { error: error.message } });
  }
}
