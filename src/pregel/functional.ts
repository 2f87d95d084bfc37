/**
 * The functional API: a workflow written as a function (seed 004, "Functional API").
 *
 *   const essay = entrypoint({ name: 'essay', checkpointer }, async (topic: string) => {
 *     const draft = await write(topic);     // write = task('write', …)
 *     return interrupt({ draft });
 *   });
 *
 * When the function runs again, after an interrupt or a crash, tasks that finished give their kept
 * results. So that calls are recognised, they must come in the same order each time.
 */
import { z } from 'zod';
import type { ActorContext } from './actor.ts';
import { getContext } from './ambient.ts';
import { EphemeralValue } from './channels/ephemeral-value.ts';
import { LastValue } from './channels/last-value.ts';
import type { Checkpointer } from './checkpoint.ts';
import type { Clock } from './clock.ts';
import { InputInvalidError } from './pregel-input.ts';
import { Pregel } from './pregel.ts';
import { END, PREVIOUS, START } from './reserved.ts';
import type { RetryPolicy } from './retry.ts';

export interface TaskOptions {
  readonly name: string;
  readonly retry?: RetryPolicy;
  /** Milliseconds for one attempt. */
  readonly timeoutMs?: number;
}

/**
 * A function whose result is kept: within an entrypoint or a node it runs once, over all attempts.
 * @throws {NotInActorError} from the returned function, when it is called outside an actor
 */
export function task<Args extends unknown[], Result>(
  options: string | TaskOptions,
  fn: (...args: Args) => Result | Promise<Result>,
): (...args: Args) => Promise<Result> {
  const { name, retry, timeoutMs } =
    typeof options === 'string'
      ? { name: options, retry: undefined, timeoutMs: undefined }
      : { retry: undefined, timeoutMs: undefined, ...options };
  return (...args) =>
    getContext(`task "${name}"`).call({ name, fn, args, retry, timeoutMs }) as Promise<Result>;
}

/** What `entrypoint.final` returns: one value for the caller, another for the next run. */
export class Final<Value, Save> {
  readonly value: Value;
  readonly save: Save;

  constructor(value: Value, save: Save) {
    this.value = value;
    this.save = save;
  }
}

/** What the caller of a workflow gets. */
export type ResultOf<R> = R extends Final<infer Value, unknown> ? Value : R;

export interface EntrypointOptions<I extends z.ZodType, O extends z.ZodType> {
  readonly name: string;
  readonly checkpointer?: Checkpointer | false;
  /** Input type, validated at the boundary. */
  readonly input?: I;
  /** Output type, for the API's schemas. */
  readonly output?: O;
  readonly retry?: RetryPolicy;
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/** A workflow from a function of (input, context); `context.previous` is what the last run saved. */
function createEntrypoint<
  R,
  In = unknown,
  I extends z.ZodType = z.ZodType<In>,
  O extends z.ZodType = z.ZodType,
>(
  options: string | EntrypointOptions<I, O>,
  fn: (input: z.output<I> & In, context: ActorContext) => R,
): Pregel<z.input<I> & In, ResultOf<Awaited<R>>> {
  const settings: EntrypointOptions<I, O> =
    typeof options === 'string' ? { name: options } : options;
  const { name, input, output, retry, timeoutMs } = settings;
  return new Pregel<z.input<I> & In, ResultOf<Awaited<R>>>({
    name,
    nodes: {
      [name]: {
        triggers: [START],
        input: { kind: 'value', channels: [START] },
        run: fn,
        write: (result, writer) => {
          const final = result instanceof Final;
          writer.push(END, final ? result.value : result);
          writer.push(PREVIOUS, final ? result.save : result);
        },
        writes: [END],
        ...(retry === undefined ? {} : { retry }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      },
    },
    channels: {
      [START]: new EphemeralValue<unknown>(input),
      [END]: new LastValue<unknown>(output),
      [PREVIOUS]: new LastValue<unknown>(),
    },
    inputChannels: START,
    outputChannels: END,
    streamChannels: END,
    ...(settings.checkpointer === undefined ? {} : { checkpointer: settings.checkpointer }),
    ...(settings.clock === undefined ? {} : { clock: settings.clock }),
    parseInput: (value) => {
      const result = input?.safeParse(value);
      if (result === undefined) return value;
      if (result.success) return result.data;
      throw new InputInvalidError(`the input of "${name}": ${z.prettifyError(result.error)}`);
    },
    schemas: { input, output, state: output },
  });
}

export const entrypoint = Object.assign(createEntrypoint, {
  /** Returns `value` to the caller and keeps `save` as the next run's `previous`. */
  final: <Value, Save>({ value, save }: { value: Value; save: Save }): Final<Value, Save> =>
    new Final(value, save),
});

/** What the previous run on this thread saved. @throws {NotInActorError} */
export const getPrevious = (): unknown => getContext('getPrevious()').previous;
