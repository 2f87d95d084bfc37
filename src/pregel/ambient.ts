/**
 * Which actor is running, so that `interrupt()`, `effect()`, tasks and nested graphs need no
 * argument, however deep in the user's code they are called.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { AppError } from '../errors.ts';
import type { EffectOptions } from './actor.ts';
import type { TaskContext } from './task-context.ts';

/** Called outside an actor. */
export class NotInActorError extends AppError {
  readonly code = 'not_in_actor' as const;
}

const storage = new AsyncLocalStorage<TaskContext>();

/** Runs `fn(context)` as that actor. */
export const runAs = <T>(context: TaskContext, fn: (context: TaskContext) => T): T =>
  storage.run(context, fn, context);

export const currentActor = (): TaskContext | undefined => storage.getStore();

/** The running actor's context. @throws {NotInActorError} */
export function getContext(what = 'getContext()'): TaskContext {
  const context = storage.getStore();
  if (context === undefined) throw new NotInActorError(`${what} was called outside an actor`);
  return context;
}

/**
 * Stops the run at this point and shows `value`; returns what the run is resumed with. The actor
 * starts from its beginning then: what came before the call runs again (see `effect`).
 * @throws {CheckpointerMissingError} when the graph keeps no state
 */
// The caller knows the type of the answer.
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
export const interrupt = <Answer = unknown>(value: unknown): Answer =>
  getContext('interrupt()').interrupt<Answer>(value);

/**
 * Runs a side effect once per (thread, step, key), whatever happens to the attempts around it: a
 * later attempt gets the kept result. `key` is unique within the actor.
 * @throws {EffectUnknownError} when an earlier attempt died inside it and nobody knows its outcome
 */
export const effect = <T>(
  key: string,
  fn: () => T | Promise<T>,
  options?: EffectOptions,
): Promise<T> => getContext('effect()').effect(key, fn, options);
