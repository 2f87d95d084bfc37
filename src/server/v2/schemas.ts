/** Bodies and parameters of protocol v2 (HTTP.md, 3.10). What is not honoured is not taken. */
import { z } from 'zod';
import { isChannel } from '../../protocol/filter.ts';
import { MULTITASK_STRATEGIES } from '../../runs/run.ts';
import { JsonObject, Searchable, Text } from '../schemas/common.ts';
import { LangSmithTracer } from '../schemas/run.ts';

/** Of one filter. */
const CHANNELS_MAX = 100;
const NAMESPACES_MAX = 1_000;
const DEPTH_MAX = 1_000;

const Channels = z
  .array(
    z.string().refine(isChannel, {
      message: 'expected a channel: values, updates, messages, …, custom or custom:<name>',
    }),
  )
  .min(1)
  .max(CHANNELS_MAX);
const Namespace = z.array(z.string());

const FILTER = {
  channels: Channels,
  namespaces: z.array(Namespace).max(NAMESPACES_MAX).optional(),
  depth: z.number().int().min(0).max(DEPTH_MAX).optional(),
};

export const EventStreamBody = z.strictObject({
  ...FILTER,
  /** A seq; or an event id, which also tells what the log has lost. */
  since: z.union([z.number().int().min(0), z.string()]).optional(),
});

export const CommandBody = z.strictObject({
  id: z.number().int().min(0),
  method: z.string(),
  params: z.unknown().optional(),
});

const Config = z.looseObject({
  tags: z.array(z.string()).nullish(),
  recursion_limit: z.number().int().min(1).nullish(),
  configurable: JsonObject.nullish(),
  metadata: JsonObject.nullish(),
});

export const RunStartParams = z.strictObject({
  assistant_id: Text.min(1),
  input: z.unknown().optional(),
  config: Config.nullish(),
  metadata: Searchable.nullish(),
  multitaskStrategy: z.enum(MULTITASK_STRATEGIES).nullish(),
  langsmith_tracer: LangSmithTracer.nullish(),
});

const Response = z.looseObject({
  interrupt_id: z.string().min(1),
  response: z.unknown().optional(),
});

const RESPOND = {
  /** Ids of interrupts are unique in a thread, so it is not needed. */
  namespace: Namespace.nullish(),
  update: z.unknown().optional(),
  goto: z.unknown().optional(),
  config: Config.nullish(),
  metadata: Searchable.nullish(),
};
export const RespondParams = z.union([
  z.strictObject({ ...RESPOND, responses: z.array(Response).min(1) }),
  z.strictObject({
    ...RESPOND,
    interrupt_id: z.string().min(1),
    response: z.unknown().optional(),
  }),
]);

export const StateGetParams = z.strictObject({
  namespace: Namespace.nullish(),
  keys: z.array(z.string()).nullish(),
});

export const SubscribeParams = z.looseObject(FILTER);
export const UnsubscribeParams = z.looseObject({ subscription_id: z.string() });
