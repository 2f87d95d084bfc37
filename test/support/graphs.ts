/** What tests of graphs need: dependencies on a test database, threads and runs, executions, a recording sink. */
import { randomUUID } from 'node:crypto';
import { CheckpointStorage } from '../../src/checkpoints/storage.ts';
import type { GraphDependencies } from '../../src/graphs/adapter.ts';
import type { EventSink, Execution, GraphConfig } from '../../src/graphs/port.ts';
import { encodeData } from '../../src/graphs/serialise.ts';
import type { Db } from '../../src/postgres/pool.ts';
import { ItemStore } from '../../src/store/items.ts';

export interface Recorded {
  type: string;
  data: unknown;
}

export function createDependencies(db: Db): GraphDependencies {
  return { checkpoints: new CheckpointStorage(db), store: new ItemStore(db) };
}

export async function createThread(db: Db, threadId: string = randomUUID()): Promise<string> {
  await db.query('INSERT INTO threads (thread_id, term) VALUES ($1, 1)', [threadId]);
  return threadId;
}

/** A run's row, for what looks at it: busy threads and rollbacks. */
export async function createRun(
  db: Db,
  threadId: string,
  options: { runId?: string; status?: string } = {},
): Promise<string> {
  const runId = options.runId ?? randomUUID();
  await db.query(
    `INSERT INTO runs (run_id, thread_id, assistant_id, status, kwargs, multitask_strategy, created_at, updated_at, eligible_at)
     VALUES ($1, $2, $2, $3, '{}', 'enqueue', now(), now(), now())`,
    [runId, threadId, options.status ?? 'running'],
  );
  return runId;
}

/** A sink that keeps the data as a client would parse it. */
export function createSink(): EventSink & { events: Recorded[]; of(type: string): unknown[] } {
  const events: Recorded[] = [];
  return {
    events,
    of: (type) => events.filter((event) => event.type === type).map((event) => event.data),
    emit: (type, data) => {
      events.push({ type, data: JSON.parse(encodeData(data)) as unknown });
    },
    drained: () => undefined,
  };
}

export function configFor(graphId: string, extra: Partial<GraphConfig> = {}): GraphConfig {
  return { configurable: { graph_id: graphId }, metadata: {}, ...extra };
}

export function createExecution(
  threadId: string,
  sink: EventSink,
  given: Partial<Execution> & { term?: number } = {},
): Execution {
  const runId = given.runId ?? randomUUID();
  return {
    runId,
    threadId,
    attempt: 1,
    input: null,
    command: null,
    config: configFor('test'),
    context: {},
    streamModes: ['values'],
    streamSubgraphs: false,
    interruptBefore: null,
    interruptAfter: null,
    durability: null,
    signal: new AbortController().signal,
    writer: { threadId, runId, term: given.term ?? 1 },
    sink,
    ...given,
  };
}
