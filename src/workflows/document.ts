/**
 * A workflow as clients write it: nodes, edges, variables, metadata. Unknown fields are refused, because the
 * most likely one is a secret: those come from the environment and never into a document.
 */
import { z } from 'zod';
import { BUS_MODES } from '../bus/transport.ts';
import { AppError } from '../errors.ts';
import { PROVIDERS } from '../models/model.ts';

export const NODES_MAX = 200;
const EDGES_MAX = 1_000;
const VARIABLES_MAX = 200;
const TEXT_LENGTH_MAX = 200_000;
const NAME_LENGTH_MAX = 200;
const LIST_MAX = 100;
export const DELAY_SECONDS_MAX = 3_600;
const TIMEOUT_SECONDS_MAX = 300;
const ASK_TIMEOUT_SECONDS_MAX = 600;
const ROWS_MAX = 10_000;

/** A document that no execution could be made of. The message has a line for each thing that is wrong. */
export class DocumentInvalidError extends AppError {
  readonly code = 'document_invalid';
}

const Id = z
  .string()
  .regex(
    /^[A-Za-z][\w-]{0,63}$/,
    'expected up to 64 letters, digits, "_" and "-", beginning with a letter',
  );
const Text = z.string().max(TEXT_LENGTH_MAX);
const Name = z.string().min(1).max(NAME_LENGTH_MAX);
const Seconds = z.number().positive().max(TIMEOUT_SECONDS_MAX);
const Headers = z.record(z.string().regex(/^[\w-]+$/, 'expected a header name'), Text);

/** What a person or an editor adds to a node; nothing depends on it. */
const Shown = { name: Text.optional(), description: Text.optional() };
/** Where the output goes beside `outputs.<node>`. */
const Output = { output_variable: Id.optional() };

export const OPERATORS = [
  'eq',
  'ne',
  'gt',
  'gte',
  'lt',
  'lte',
  'contains',
  'not_contains',
  'starts_with',
  'ends_with',
  'in',
  'exists',
  'not_exists',
] as const;
export type Operator = (typeof OPERATORS)[number];

const comparison = {
  left: z.unknown(),
  operator: z.enum(OPERATORS),
  right: z.unknown().optional(),
};

const Script = z
  .array(
    z.strictObject({
      when: Text.optional(),
      reply: Text,
      tool_calls: z
        .array(z.strictObject({ name: Name, arguments: z.record(z.string(), z.unknown()) }))
        .max(LIST_MAX)
        .optional(),
      delay_ms: z.number().min(0).max(10_000).optional(),
    }),
  )
  .max(LIST_MAX);

export const AiConfig = z.strictObject({
  ...Shown,
  ...Output,
  prompt: Text.min(1),
  system_prompt: Text.optional(),
  provider: z.enum(PROVIDERS).default('openai'),
  model: Name.optional(),
  temperature: z.number().min(0).max(2).optional(),
  max_tokens: z.number().int().min(1).max(1_000_000).optional(),
  /** false: neither asks nor is asked. */
  can_communicate: z.boolean().default(true),
  /** How it is told of the calls: as tools, or in words. Calls in its text count either way. */
  calls: z.enum(['tools', 'text']).default('tools'),
  ask_timeout_seconds: z.number().positive().max(ASK_TIMEOUT_SECONDS_MAX).optional(),
  script: Script.optional(),
});

const HttpSource = z.strictObject({
  ...Shown,
  ...Output,
  source: z.literal('http'),
  url: Text.min(1),
  method: z.enum(['GET', 'POST']).default('GET'),
  headers: Headers.default({}),
  body: z.unknown().optional(),
  timeout_seconds: Seconds.default(30),
});
const PostgresSource = z.strictObject({
  ...Shown,
  ...Output,
  source: z.literal('postgres'),
  /** Name of the secret that holds the URL. */
  connection: z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'expected the name of a secret, like SHOP_DB'),
  /** Fixed: values go into params, where they cannot become SQL. */
  query: Text.min(1),
  params: z.array(z.unknown()).max(LIST_MAX).default([]),
  rows_max: z.number().int().min(1).max(ROWS_MAX).default(1_000),
  timeout_seconds: Seconds.default(30),
});

const CONFIGS = {
  start: z.strictObject(Shown),
  end: z.strictObject({ ...Shown, output: z.unknown().optional() }),
  'ai-processor': AiConfig,
  'data-source': z.discriminatedUnion('source', [HttpSource, PostgresSource]),
  webhook: z.strictObject({
    ...Shown,
    ...Output,
    url: Text.min(1),
    method: z.enum(['POST', 'PUT', 'PATCH']).default('POST'),
    headers: Headers.default({}),
    /** Default: the output of the nodes before. */
    body: z.unknown().optional(),
    timeout_seconds: Seconds.default(30),
  }),
  email: z.strictObject({
    ...Shown,
    ...Output,
    to: z.union([Text.min(1), z.array(Text.min(1)).min(1).max(LIST_MAX)]),
    subject: Text.min(1),
    body: Text,
  }),
  filter: z.strictObject({
    ...Shown,
    ...Output,
    items: Text.min(1),
    where: z.strictObject({
      field: z.string().max(NAME_LENGTH_MAX).default(''),
      operator: z.enum(OPERATORS),
      value: z.unknown().optional(),
    }),
  }),
  transformer: z.strictObject({ ...Shown, ...Output, output: z.unknown() }),
  condition: z.strictObject({
    ...Shown,
    /** The first that holds is taken. */
    cases: z
      .array(z.strictObject({ label: Name, ...comparison }))
      .min(1)
      .max(LIST_MAX),
    /** Taken when none holds. */
    default: Name.default('default'),
  }),
  delay: z.strictObject({ ...Shown, seconds: z.number().min(0).max(DELAY_SECONDS_MAX) }),
} as const;

export type NodeType = keyof typeof CONFIGS;
export const NODE_TYPES = Object.keys(CONFIGS) as readonly NodeType[];
export type ConfigOf<T extends NodeType> = z.output<(typeof CONFIGS)[T]>;

export interface NodeOf<T extends NodeType> {
  readonly id: string;
  readonly type: T;
  readonly config: ConfigOf<T>;
}
export type WorkflowNode = { [T in NodeType]: NodeOf<T> }[NodeType];
export type AiNode = NodeOf<'ai-processor'>;

const Variable = z.strictObject({
  name: Id,
  description: Text.optional(),
  /** Default: true unless there is a default. */
  required: z.boolean().optional(),
  default: z.unknown().optional(),
  type: Name.optional(),
});
const Edge = z.strictObject({
  id: Name.optional(),
  from: z.string(),
  to: z.string(),
  /** Of an edge that leaves a condition: the case at which it is taken. */
  label: Name.optional(),
});
const Metadata = z.looseObject({ communication_mode: z.enum(BUS_MODES).default('simple') });

/** The outside of a document; the configurations of its nodes are checked one by one (parseNodes). */
export const DocumentEnvelope = z.strictObject({
  name: Name,
  description: Text.optional(),
  status: Name.optional(),
  nodes: z
    .array(
      z.strictObject({
        id: Id,
        type: z.enum(NODE_TYPES as [NodeType, ...NodeType[]]),
        config: z.record(z.string(), z.unknown()).default({}),
        name: Text.optional(),
        position: z.looseObject({ x: z.number(), y: z.number() }).optional(),
      }),
    )
    .min(1)
    .max(NODES_MAX),
  edges: z.array(Edge).max(EDGES_MAX),
  variables: z
    .array(z.union([Variable, Id.transform((name): z.input<typeof Variable> => ({ name }))]))
    .max(VARIABLES_MAX)
    .default([]),
  metadata: Metadata.default({ communication_mode: 'simple' }),
});

export type WorkflowVariable = z.output<typeof Variable>;
export interface WorkflowDocument {
  readonly name: string;
  readonly nodes: readonly WorkflowNode[];
  readonly edges: readonly z.output<typeof Edge>[];
  readonly variables: readonly WorkflowVariable[];
  readonly metadata: z.output<typeof Metadata>;
}

/**
 * The nodes with their configurations.
 * @returns what is wrong instead, a line each, with the node's id
 */
export function parseNodes(nodes: z.output<typeof DocumentEnvelope>['nodes']): {
  nodes: WorkflowNode[];
  problems: string[];
} {
  const parsed: WorkflowNode[] = [];
  const problems: string[] = [];
  for (const { id, type, config } of nodes) {
    const result = CONFIGS[type].safeParse(config);
    if (result.success) parsed.push({ id, type, config: result.data } as WorkflowNode);
    else
      for (const issue of result.error.issues)
        problems.push(`node "${id}": ${['config', ...issue.path].join('.')}: ${issue.message}`);
  }
  return { nodes: parsed, problems };
}

export const isAiNode = (node: WorkflowNode): node is AiNode => node.type === 'ai-processor';

/** An AI node that takes part in conversations. */
export const communicates = (node: WorkflowNode): node is AiNode =>
  isAiNode(node) && node.config.can_communicate;

/** An AI node without edges: it never runs, it is only asked. */
export const isResident = (document: WorkflowDocument, node: WorkflowNode): boolean =>
  communicates(node) && !document.edges.some(({ from, to }) => from === node.id || to === node.id);
