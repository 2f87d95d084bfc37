/**
 * Cancels by the documented string and channels: told to others when the API cancels a run, and accepted from
 * them. A foreign request only makes this process cancel the run in Postgres, as the API would; what nobody can
 * understand is ignored and counted, because anybody may publish here.
 */
import { z } from 'zod';
import type { Service } from '../lib/service.ts';
import type { Redis } from '../redis/connect.ts';
import type { ContractNames } from './names.ts';

/** How long the string stays: longer than any worker takes to see it. */
const NOTE_TTL_SECS = 60;
/** Longer messages are not looked at. */
const MESSAGE_LENGTH_MAX = 1_000;
/** Requests being written to Postgres at once; what comes beyond is dropped and counted. */
const REQUESTS_MAX = 100;
/** Requests of this process whose messages come back to it: what is forgotten only costs a look at the row. */
const TOLD_MAX = 10_000;
const SHOWN_LENGTH_MAX = 80;

export type ContractCancelAction = 'interrupt' | 'rollback';

const RunId = z.guid();
/** The documents do not say what a message holds: an action, nothing, a flag or the run's id all mean the same. */
const Plain = z.enum(['', '1', 'true', 'cancel', 'interrupt', 'rollback']);
const Message = z.object({
  action: z.enum(['cancel', 'interrupt', 'rollback']).default('interrupt'),
});

/** @returns undefined for what is no request */
export function parseCancel(runId: string, message: string): ContractCancelAction | undefined {
  if (message.length > MESSAGE_LENGTH_MAX) return undefined;
  const plain = Plain.safeParse(message);
  if (plain.success) return plain.data === 'rollback' ? 'rollback' : 'interrupt';
  if (message === runId) return 'interrupt';
  try {
    const { action } = Message.parse(JSON.parse(message));
    return action === 'rollback' ? 'rollback' : 'interrupt';
  } catch {
    return undefined;
  }
}

export interface ContractCancelDeps {
  readonly names: ContractNames;
  readonly commands: Redis;
  readonly subscriber: Redis;
  /** Cancels the run as the API does, if it is there and has not been cancelled. */
  cancel(runId: string, action: ContractCancelAction): Promise<void>;
  onTrouble(what: string, error: unknown): void;
}

export interface ContractCancels extends Service {
  /** Tells others of a request that stands in Postgres. A hint: never throws. */
  tell(runId: string, action: ContractCancelAction): void;
  /** What was found in the string or came by a channel. */
  receive(runId: string, message: string): void;
}

export class ControlMessageError extends Error {}

export function createContractCancels(deps: ContractCancelDeps): ContractCancels {
  const { names, subscriber } = deps;
  /** By run and action: the documents name two channels, and who asks may use both. */
  const underWay = new Set<string>();
  /** By run: messages that will come back. What they ask for stands in Postgres already. */
  const told = new Map<string, number>();
  let started = false;

  const ignore = (where: string, message: string, why: string): void => {
    deps.onTrouble(
      'control message ignored',
      new ControlMessageError(
        `${where}: ${why}: ${JSON.stringify(message.slice(0, SHOWN_LENGTH_MAX))}`,
      ),
    );
  };

  function echoed(runId: string): boolean {
    const left = told.get(runId);
    if (left === undefined) return false;
    if (left > 1) told.set(runId, left - 1);
    else told.delete(runId);
    return true;
  }

  function receive(runId: string, message: string): void {
    const where = `cancel of ${runId.slice(0, SHOWN_LENGTH_MAX)}`;
    const action = RunId.safeParse(runId).success ? parseCancel(runId, message) : undefined;
    if (action === undefined) {
      ignore(where, message, 'expected a run id and an action (interrupt, rollback)');
      return;
    }
    const request = `${runId} ${action}`;
    if (echoed(runId) || underWay.has(request)) return;
    if (underWay.size >= REQUESTS_MAX) {
      ignore(where, message, `more than ${REQUESTS_MAX} requests at once`);
      return;
    }
    underWay.add(request);
    void deps
      .cancel(runId, action)
      .catch((error: unknown) => {
        deps.onTrouble('cancel from outside', error);
      })
      .finally(() => underWay.delete(request));
  }

  function onMessage(_pattern: string, channel: string, message: string): void {
    const runId = names.runOfCancel(channel);
    if (runId !== undefined) receive(runId, message);
  }

  return {
    tell(runId, action) {
      const channels = names.cancelChannels(runId);
      if (told.size >= TOLD_MAX) told.delete(told.keys().next().value ?? '');
      told.set(runId, channels.length);
      // Not a pipeline: in a cluster each name is somewhere else.
      Promise.all([
        deps.commands.set(`${names.cancelPrefix}${runId}`, action, 'EX', NOTE_TTL_SECS),
        ...channels.map((channel) => deps.commands.publish(channel, action)),
      ]).catch((error: unknown) => {
        deps.onTrouble('tell of a cancel', error);
      });
    },
    receive,
    start() {
      if (started) return Promise.resolve();
      started = true;
      subscriber.on('pmessage', onMessage);
      // Not waited for: without Redis it settles when Redis is back.
      void subscriber.psubscribe(...names.cancelPatterns).catch((error: unknown) => {
        deps.onTrouble('subscribe to cancels', error);
      });
      return Promise.resolve();
    },
    stop() {
      subscriber.off('pmessage', onMessage);
      return Promise.resolve();
    },
  };
}
