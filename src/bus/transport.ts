/** How messages get from one agent to another: within a process (simple.ts) or between processes (pubsub.ts). */
import type { Service } from '../lib/service.ts';
import type { AgentMessage, MessageType } from './message.ts';

export const BUS_MODES = ['simple', 'pubsub'] as const;
export type BusMode = (typeof BUS_MODES)[number];

/** What a transport delivers to. */
export interface Listener {
  readonly agentId: string;
  /** Broadcasts of another scope are not for it. */
  readonly scope: string | null;
  /** What it has handlers for; a message of another type is kept until it has. */
  types(): readonly MessageType[];
  /**
   * A message that is refused is delivered again, some times.
   * @param signal aborted when the message was withdrawn or this process has lost it
   */
  handle(message: AgentMessage, signal: AbortSignal): Promise<void>;
}

/** Answers questions to any node, for who executes it elsewhere or has no time. */
export interface Host {
  /** Questions that may be in hand at once. */
  readonly slots: number;
  handle(message: AgentMessage, signal: AbortSignal): Promise<void>;
}

/** What a message is when somebody waits for its answer. */
export interface Question {
  /** The same for the same question of an earlier attempt, which is then asked again instead. */
  readonly key: string | undefined;
  /** Told under which id it goes, before its answer can arrive. */
  onKept(message: AgentMessage): void;
}

export interface Transport extends Service {
  readonly mode: BusMode;
  /** Whether messages can be expected to arrive soon. */
  available(): boolean;
  /**
   * Settles when the message cannot be lost any more.
   * @returns the answer that is known already
   */
  send(message: AgentMessage, question?: Question): Promise<AgentMessage | undefined>;
  /** To whoever listens now; nobody gets it later. */
  sendToAll(message: AgentMessage): Promise<void>;
  /** Nobody waits for its answer any more. */
  withdraw(message: AgentMessage): Promise<void>;
  /** Settles when messages arrive; those that were kept for the agent come as well. */
  listen(listener: Listener): Promise<void>;
  /** The listener has handlers for more types now. */
  changed(): void;
  unlisten(listener: Listener): Promise<void>;
}
