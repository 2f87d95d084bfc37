/** An execution is a run of the graph of all workflows: how its run is made, and how it is shown. */
import { defaultAssistantId } from '../ids.ts';
import type { Db } from '../postgres/pool.ts';
import { EVERYTHING, visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import type { NewRun } from '../runs/create.ts';
import type { RunStatus } from '../runs/run.ts';
import { AppError } from '../errors.ts';
import type { WorkflowDocument } from './document.ts';
import type { Communication, LogEntry } from './state.ts';
import { placesOf } from './template.ts';
import { WorkflowNotFoundError } from './workflow.ts';

/** The graph that executes documents. No assistant leads to it: an execution is made here or not at all. */
export const WORKFLOW_GRAPH = '__workflow__';
/** What their runs are told by: nobody else's may have it. */
export const WORKFLOW_ASSISTANT = defaultAssistantId(WORKFLOW_GRAPH);
/** Supersteps beside one for each node. */
const STEPS_MARGIN = 10;
const STREAM_MODES = ['values', 'updates', 'custom', 'messages-tuple'];

export class InputsInvalidError extends AppError {
  readonly code = 'input_invalid';
}

/**
 * The inputs with the document's defaults.
 * @throws {InputsInvalidError} naming the variable and the nodes that need it
 */
export function inputsOf(
  { variables, nodes }: WorkflowDocument,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const known = new Set(variables.map(({ name }) => name));
  const problems = Object.keys(given)
    .filter((name) => !known.has(name))
    .map((name) => `inputs.${name}: the workflow has no such variable`);
  const inputs: Record<string, unknown> = {};
  for (const { name, default: byDefault, required } of variables) {
    const value = Object.hasOwn(given, name) ? given[name] : byDefault;
    if (value !== undefined) inputs[name] = value;
    else if (required ?? true) {
      const users = nodes
        .filter(({ config }) => placesOf(config).some((place) => place.name === name))
        .map(({ id }) => `"${id}"`);
      const needed = users.length === 0 ? '' : `, needed by node ${users.join(', ')}`;
      problems.push(`inputs.${name}: missing${needed}`);
    }
  }
  if (problems.length > 0) throw new InputsInvalidError(problems.join('\n'));
  return inputs;
}

export interface NewExecution {
  readonly runId: string;
  readonly threadId: string;
  readonly workflow: { id: string; version: number; document: WorkflowDocument };
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Of the run and its thread: what authorization has added. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** null: no auth is configured. */
  readonly user: NewRun['user'];
}

export function newExecution(given: NewExecution): NewRun {
  const { runId, threadId, workflow, inputs, user } = given;
  const ids = { workflow_id: workflow.id, workflow_version: workflow.version };
  const configurable = { ...ids, execution_id: runId };
  const metadata = { ...given.metadata, ...ids, workflow_name: workflow.document.name };
  return {
    runId,
    threadId,
    assistantId: WORKFLOW_ASSISTANT,
    metadata,
    multitaskStrategy: 'reject',
    afterSeconds: 0,
    createThread: 'visible',
    threadConfig: { configurable },
    threadMetadata: { ...metadata, graph_id: WORKFLOW_GRAPH },
    newThreadMetadata: metadata,
    // Its thread is new.
    visible: EVERYTHING,
    user,
    kwargs: {
      input: { inputs },
      command: null,
      config: {
        configurable: {
          ...configurable,
          run_id: runId,
          thread_id: threadId,
          graph_id: WORKFLOW_GRAPH,
          assistant_id: WORKFLOW_ASSISTANT,
          ...(user === null ? {} : { user_id: user.identity }),
        },
        metadata,
        recursion_limit: workflow.document.nodes.length + STEPS_MARGIN,
      },
      context: {},
      stream_mode: STREAM_MODES,
      interrupt_before: null,
      interrupt_after: null,
      webhook: null,
      feedback_keys: null,
      temporary: false,
      subgraphs: false,
      resumable: true,
      durability: null,
    },
  };
}

interface ExecutionRow {
  run_id: string;
  thread_id: string;
  workflow_id: string;
  workflow_version: number;
  status: RunStatus;
  kwargs: { input: { inputs: Record<string, unknown> } | null };
  attempt: number;
  error: { error: string; message: string } | null;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
  values: {
    output?: unknown;
    outputs?: Record<string, unknown>;
    communication?: Communication;
    communication_log?: LogEntry[];
  } | null;
}

export interface ExecutionView {
  /** The run's id: `/threads/{thread_id}/runs/{execution_id}` is the same thing. */
  execution_id: string;
  workflow_id: string;
  workflow_version: number;
  thread_id: string;
  status: RunStatus;
  inputs: Record<string, unknown>;
  output: unknown;
  outputs: Record<string, unknown>;
  /** null until it has begun. */
  communication: Communication | null;
  communication_log: LogEntry[];
  attempt: number;
  error: { error: string; message: string } | null;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
}

const SELECT = `
  SELECT r.run_id, r.thread_id, r.metadata ->> 'workflow_id' AS workflow_id,
    (r.metadata ->> 'workflow_version')::int AS workflow_version, r.status, r.kwargs, r.attempt, r.error,
    r.created_at, r.started_at, r.ended_at, t."values"
  FROM runs r JOIN threads t USING (thread_id)
  WHERE r.assistant_id = '${WORKFLOW_ASSISTANT}'`;

/** Newest first. */
export async function listExecutions(
  db: Db,
  workflowId: string,
  visible: Visibility,
  page: { limit: number; offset: number; status: RunStatus | undefined },
): Promise<ExecutionView[]> {
  const { rows } = await db.query<ExecutionRow>(
    `${SELECT} AND r.metadata ? 'workflow_id' AND r.metadata ->> 'workflow_id' = $1
       AND ($2::text IS NULL OR r.status = $2) AND ${visibleSql('t.metadata', '$5')}
     ORDER BY r.created_at DESC, r.run_id DESC LIMIT $3 OFFSET $4`,
    [workflowId, page.status, page.limit, page.offset, visible.metadata],
  );
  return rows.map(viewOf);
}

/**
 * @param workflowId undefined: of any workflow
 * @throws {WorkflowNotFoundError} also when the caller may not see it
 */
export async function readExecution(
  db: Db,
  executionId: string,
  visible: Visibility,
  workflowId?: string,
): Promise<ExecutionView> {
  const { rows } = await db.query<ExecutionRow>(
    `${SELECT} AND r.run_id = $1 AND ($2::text IS NULL OR r.metadata ->> 'workflow_id' = $2)
       AND ${visibleSql('t.metadata', '$3')}`,
    [executionId, workflowId, visible.metadata],
  );
  const row = rows[0];
  if (row === undefined) throw new WorkflowNotFoundError('Execution not found');
  return viewOf(row);
}

function viewOf(row: ExecutionRow): ExecutionView {
  const values = row.values ?? {};
  return {
    execution_id: row.run_id,
    workflow_id: row.workflow_id,
    workflow_version: row.workflow_version,
    thread_id: row.thread_id,
    status: row.status,
    inputs: row.kwargs.input?.inputs ?? {},
    output: values.output ?? null,
    outputs: values.outputs ?? {},
    communication: values.communication ?? null,
    communication_log: values.communication_log ?? [],
    attempt: row.attempt,
    error: row.error,
    created_at: row.created_at,
    started_at: row.started_at,
    ended_at: row.ended_at,
  };
}

/** With the state as it is: the thread's row has it only after a success. */
export function withState(view: ExecutionView, values: unknown): ExecutionView {
  const {
    output,
    outputs,
    communication,
    communication_log: log,
  } = (values ?? {}) as NonNullable<ExecutionRow['values']>;
  return {
    ...view,
    output: output ?? null,
    outputs: outputs ?? {},
    communication: communication ?? null,
    communication_log: log ?? [],
  };
}

/** What answering for one of its nodes takes. */
export interface ExecutionPlan {
  readonly status: RunStatus;
  readonly workflowId: string;
  readonly version: number;
  readonly inputs: Readonly<Record<string, unknown>>;
}

export async function readExecutionPlan(
  db: Db,
  executionId: string,
): Promise<ExecutionPlan | undefined> {
  const { rows } = await db.query<
    Pick<ExecutionRow, 'status' | 'workflow_id' | 'workflow_version' | 'kwargs'>
  >({
    name: 'execution-plan',
    text: `SELECT status, metadata ->> 'workflow_id' AS workflow_id,
             (metadata ->> 'workflow_version')::int AS workflow_version, kwargs
           FROM runs WHERE run_id = $1 AND assistant_id = $2`,
    values: [executionId, WORKFLOW_ASSISTANT],
  });
  const row = rows[0];
  return (
    row && {
      status: row.status,
      workflowId: row.workflow_id,
      version: row.workflow_version,
      inputs: row.kwargs.input?.inputs ?? {},
    }
  );
}
