/**
 * The message bus: agents that send each other messages and ask each other questions. The same in both modes;
 * what differs is the transport below.
 *
 * Handlers belong to an agent, not to the process: two executions at once never see each other's messages.
 */
import { AppError } from '../errors.ts';
import { createDeferred } from '../lib/deferred.ts';
import type { Deferred } from '../lib/deferred.ts';
import { agentName } from './channels.ts';
import { ANSWERS, EVERYONE, MessageInvalidError, newMessage } from './message.ts';
import type { AgentMessage, MessageType, NewMessage } from './message.ts';
import type { BusMode, Transport } from './transport.ts';

/** Says who was asked and did not answer. */
export class AgentSilentError extends AppError {
  readonly code = 'agent_silent';
  override readonly retryable = true;
}

export type MessageHandler = (message: AgentMessage, signal: AbortSignal) => Promise<void> | void;

/** An agent that listens. */
export interface Agent {
  readonly id: string;
  /** One handler a type; messages of a type without one are kept until there is one, or they expire. */
  registerHandler(type: MessageType, handler: MessageHandler): void;
  /** Questions under way fail. Idempotent. */
  close(): Promise<void>;
}

export interface Ask {
  /** Default: made from type, sender and time. */
  readonly id?: string | undefined;
  /** An agent that listens in this process. */
  readonly from: string;
  readonly to: string;
  readonly type?: 'QUERY' | 'TASK_REQUEST';
  readonly content: Record<string, unknown>;
  readonly scope?: string | undefined;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** The same for the same question over all attempts at a node: it is asked once. */
  readonly key?: string;
  /** Told when the question is kept, with its id. */
  onSent?(message: AgentMessage): void;
}

export interface TaskResponse {
  readonly from: string;
  readonly to: string;
  readonly replyTo: string;
  readonly result: Record<string, unknown>;
  /** RESPONSE answers a question; default TASK_RESPONSE. */
  readonly type?: 'RESPONSE' | 'TASK_RESPONSE' | 'ERROR';
  readonly scope?: string | undefined;
}

export interface Bus {
  readonly mode: BusMode;
  available(): boolean;
  /** @throws {MessageInvalidError} */
  publish(message: NewMessage): Promise<AgentMessage>;
  /** @param scope the execution whose broadcasts it hears */
  subscribe(agentId: string, scope?: string): Promise<Agent>;
  /**
   * Waits for the answer.
   * @throws {AgentSilentError} after `timeoutMs`; the signal's reason when aborted
   */
  ask(question: Ask): Promise<AgentMessage>;
  /** A task whose answer nobody waits for here. @returns its message, whose id the answer will name */
  sendTaskRequest(request: Omit<NewMessage, 'type'>): Promise<AgentMessage>;
  sendTaskResponse(response: TaskResponse): Promise<AgentMessage>;
  broadcast(message: Omit<NewMessage, 'type' | 'to'>): Promise<AgentMessage>;
}

export function createBus(
  transport: Transport,
  deps: { onTrouble(what: string, error: unknown): void },
): Bus {
  const agents = new Map<string, LocalAgent>();

  interface LocalAgent extends Agent {
    /** Question id → who waits for its answer. */
    readonly pending: Map<string, Deferred<AgentMessage>>;
  }

  async function publish(given: NewMessage): Promise<AgentMessage> {
    const message = newMessage(given);
    await transport.send(message);
    return message;
  }

  async function subscribe(agentId: string, scope?: string): Promise<Agent> {
    // An attempt that was left behind may still listen: the newer one takes its place.
    await agents.get(agentId)?.close();
    const handlers = new Map<MessageType, MessageHandler>();
    const pending: LocalAgent['pending'] = new Map();
    const listener = {
      agentId,
      scope: scope ?? null,
      // Answers always: a question may be asked at any time.
      types: () => [...new Set([...ANSWERS, ...handlers.keys()])],
      async handle(message: AgentMessage, signal: AbortSignal): Promise<void> {
        if (ANSWERS.includes(message.type)) pending.get(message.reply_to ?? '')?.resolve(message);
        await handlers.get(message.type)?.(message, signal);
      },
    };
    const agent: LocalAgent = {
      id: agentId,
      pending,
      registerHandler(type, handler) {
        handlers.set(type, handler);
        transport.changed();
      },
      async close() {
        if (agents.get(agentId) !== agent) return;
        agents.delete(agentId);
        for (const waiting of pending.values())
          waiting.reject(new AgentSilentError(`${agentName(agentId)} does not listen any more`));
        await transport.unlisten(listener);
      },
    };
    agents.set(agentId, agent);
    await transport.listen(listener);
    return agent;
  }

  async function ask(question: Ask): Promise<AgentMessage> {
    const { from, to, timeoutMs, signal } = question;
    signal?.throwIfAborted();
    const agent = agents.get(from);
    if (agent === undefined)
      throw new MessageInvalidError(`agent "${from}" asks, but does not listen for the answer`);
    const message = newMessage({
      ...(question.id === undefined ? {} : { id: question.id }),
      type: question.type ?? 'QUERY',
      from,
      to,
      content: question.content,
      scope: question.scope,
      expiresInMs: timeoutMs,
    });
    const answered = createDeferred<AgentMessage>();
    answered.promise.catch(() => undefined);
    let asked = message;
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      answered.reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      timer = setTimeout(() => {
        const text = `${agentName(to)} did not answer ${agentName(from)} within ${timeoutMs / 1_000} s`;
        answered.reject(new AgentSilentError(text));
      }, timeoutMs);
      const answer = await transport.send(message, {
        key: question.key,
        onKept(kept) {
          asked = kept;
          agent.pending.set(kept.id, answered);
          question.onSent?.(kept);
        },
      });
      return answer ?? (await answered.promise);
    } catch (error) {
      // So that nobody works for an answer that is not wanted. A hint: it expires by itself.
      transport.withdraw(asked).catch((cause: unknown) => {
        deps.onTrouble('withdraw question', cause);
      });
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      agent.pending.delete(asked.id);
    }
  }

  return {
    mode: transport.mode,
    available: () => transport.available(),
    publish,
    subscribe,
    ask,
    sendTaskRequest: (request) => publish({ ...request, type: 'TASK_REQUEST' }),
    sendTaskResponse: ({ from, to, replyTo, result, type, scope }) =>
      publish({ type: type ?? 'TASK_RESPONSE', from, to, replyTo, scope, content: result }),
    async broadcast(given) {
      const message = newMessage({ ...given, type: 'BROADCAST', to: EVERYONE });
      await transport.sendToAll(message);
      return message;
    },
  };
}
