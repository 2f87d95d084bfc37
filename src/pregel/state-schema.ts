/**
 * A state as a zod object, and how each field becomes a channel. A plain field is a LastValue;
 * `reduced(...)` gives it a reducer, `untracked(...)` keeps it out of checkpoints, `.default(v)`
 * is the value a new thread starts with.
 *
 * What zod cannot express is kept beside the schema, in a registry by identity: so wrap a field
 * last (`reduced(z.array(...).optional(), ...)`, not the other way round).
 */
import { z } from 'zod';
import type { BaseChannel } from './channels/channel.ts';
import { BinaryOperatorAggregate, type Overwrite } from './channels/binary-operator-aggregate.ts';
import { LastValue, UntrackedValue } from './channels/last-value.ts';
import { mergeMessages, messageSchema, type Message } from './messages.ts';
import { GraphInvalidError } from './topology.ts';

export type StateSchema = z.ZodObject;

declare const UPDATE: unique symbol;
/** Carries the update type of a reduced field. */
export interface Reduced<Update> {
  readonly [UPDATE]?: Update;
}

interface FieldSpec {
  readonly channel: () => BaseChannel;
  /** Validates an update at the boundary; undefined: the field's own schema. */
  readonly update: z.ZodType | undefined;
}
const fields = new WeakMap<z.ZodType, FieldSpec>();

export interface ReducedOptions<S extends z.ZodType, U extends z.ZodType> {
  /** Pure: returns a new value. Called with the updates of a step in the order of actors. */
  reduce: (current: z.output<S>, update: z.output<U>) => z.output<S>;
  /** Makes the value a new thread starts with. Without it the first update becomes the value. */
  initial?: () => z.output<S>;
  /** Type of an update, when it is not the value's. */
  update?: U;
}

/** A field whose updates are merged by a reducer. @returns a schema of its own, for one state */
export function reduced<S extends z.ZodType, U extends z.ZodType = S>(
  schema: S,
  options: ReducedOptions<S, U>,
): S & Reduced<z.input<U>> {
  // A clone: the same schema may be a plain field elsewhere.
  const own = schema.clone();
  fields.set(own, {
    channel: () =>
      new BinaryOperatorAggregate<unknown, unknown>(
        own,
        options.reduce as (current: unknown, update: unknown) => unknown,
        options.initial,
      ),
    update: options.update,
  });
  return own;
}

/** A field that is never part of a checkpoint. */
export function untracked<S extends z.ZodType>(
  schema: S,
  options: { guard?: boolean; initial?: () => z.output<S> } = {},
): S {
  const own = schema.clone();
  fields.set(own, {
    channel: () => new UntrackedValue<unknown>(own, options),
    update: undefined,
  });
  return own;
}

const messageList = z.array(messageSchema);
/** A chat's messages: appended, replaced by id, removed by `{type: 'remove', id}`. */
export function messages(): typeof messageList & Reduced<Message | Message[]> {
  return reduced(messageList, {
    reduce: (current: Message[], update: Message | Message[]) => mergeMessages(current, update),
    initial: () => [],
    update: z.union([messageSchema, messageList]),
  });
}

/** What nodes read. */
export type StateOf<S extends StateSchema> = z.output<S>;

type UpdateOfField<F> = F extends { readonly [UPDATE]?: infer U }
  ? unknown extends U
    ? F extends z.ZodType
      ? z.input<F>
      : never
    : NonNullable<U> | Overwrite<F extends z.ZodType ? z.output<F> : never>
  : F extends z.ZodType
    ? z.input<F>
    : never;

/** What nodes return: any of the fields, with a reduced field's update type. */
export type UpdateOf<S extends StateSchema> = {
  [Key in keyof S['shape']]?: UpdateOfField<S['shape'][Key]> | undefined;
};

/** The channels of a state, by field. */
export function stateChannels(schema: StateSchema): Record<string, BaseChannel> {
  return Object.fromEntries(
    Object.entries(schema.shape).map(([name, field]) => [name, channelOf(field as z.ZodType)]),
  );
}

function channelOf(field: z.ZodType): BaseChannel {
  const spec = fields.get(field);
  if (spec !== undefined) return spec.channel();
  const initial = defaultOf(field);
  if (initial !== undefined) {
    // zod's default is a getter, which may make the value anew at each read.
    return new LastValue<unknown>(field, () => structuredClone(initial.defaultValue));
  }
  return new LastValue<unknown>(field);
}

/** By shape: the project's zod may be another copy than ours. */
function defaultOf(
  field: z.ZodType,
): { readonly defaultValue: unknown; readonly innerType: z.ZodType } | undefined {
  const { def } = field._zod;
  return def.type === 'default' ? (def as unknown as ReturnType<typeof defaultOf>) : undefined;
}

/** The channel a field of an input or output schema means must be the state's. */
export function mergeChannels(
  into: Record<string, BaseChannel>,
  schema: StateSchema | undefined,
): void {
  if (schema === undefined) return;
  for (const [name, field] of Object.entries(schema.shape)) {
    if (into[name] === undefined) into[name] = channelOf(field as z.ZodType);
    else if (fields.has(field as z.ZodType)) {
      throw new GraphInvalidError(
        `"${name}" has a reducer of its own in a second schema; declare it in the state only`,
      );
    }
  }
}

/** Validates updates by field; fields that are absent stay absent. */
export function updateSchema(schema: StateSchema): z.ZodObject {
  const shape = Object.entries(schema.shape).map(([name, each]): [string, z.ZodType] => {
    const field = each as z.ZodType;
    const own = fields.get(field)?.update ?? field;
    const bare = defaultOf(own)?.innerType ?? own;
    return [name, bare.optional()];
  });
  return z.object(Object.fromEntries(shape));
}
