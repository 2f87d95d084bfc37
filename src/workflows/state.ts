/** The state of an execution: what its checkpoints keep and its history shows. */
import { z } from 'zod';
import { BUS_MODES } from '../bus/transport.ts';
import { reduced } from '../pregel/index.ts';

const Fields = z.record(z.string(), z.unknown());
const merged = <T extends z.ZodRecord>(schema: T): T =>
  reduced(schema, {
    reduce: (current, update) => ({ ...current, ...update }),
    initial: () => ({}) as z.output<T>,
  });

/** Which way messages went, and why not the way that was asked for. */
export const CommunicationSchema = z.object({
  requested: z.enum(BUS_MODES),
  used: z.enum(BUS_MODES),
  warning: z.string().nullable(),
});
export type Communication = z.output<typeof CommunicationSchema>;

export const LogEntrySchema = z.object({
  timestamp: z.string(),
  message_id: z.string(),
  from_node: z.string(),
  /** A node, or `broadcast`. */
  to_node: z.string(),
  type: z.enum(['ask', 'response', 'broadcast']),
  // Not `content`: with a type and a content it would be taken for a message of a chat, and streamed as one.
  text: z.string(),
});
export type LogEntry = z.output<typeof LogEntrySchema>;

export const ExecutionState = z.object({
  /** What the client gave, with the defaults of the document. */
  inputs: Fields.default({}),
  /** `output_variable`s of nodes. */
  variables: merged(Fields),
  /** By node; a node that was not reached has none. */
  outputs: merged(Fields),
  /** What the execution answers: the output of the end that was reached (of several the last). */
  output: reduced(z.unknown(), { reduce: (_, update) => update }),
  /** Edge → whether it was taken. A node runs when all its edges are decided and one is taken. */
  taken: merged(z.record(z.string(), z.boolean())),
  shared_context: merged(Fields),
  communication: reduced(CommunicationSchema, { reduce: (_, update) => update }),
  communication_log: reduced(z.array(LogEntrySchema), {
    reduce: (log, more) => [...log, ...more],
    initial: () => [],
  }),
});
export type State = z.output<typeof ExecutionState>;

/** What a node adds to the state beside its output. */
export interface NodeUpdate {
  shared_context?: Record<string, unknown>;
  communication_log?: LogEntry[];
}

export interface NodeOutcome {
  readonly output: unknown;
  readonly update?: NodeUpdate;
  /** Of a condition: the case that holds. */
  readonly label?: string;
}
