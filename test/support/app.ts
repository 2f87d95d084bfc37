/** Millrace inside the test process: real Postgres, real Redis, one worker. For what needs no second process. */
import { randomBytes } from 'node:crypto';
import { createCore, createWorkerOf } from '../../src/app.ts';
import type { Core } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import type { LogBatch } from '../../src/events/event.ts';
import { openReader } from '../../src/events/reader.ts';
import type { ReaderOptions } from '../../src/events/reader.ts';
import { newId } from '../../src/ids.ts';
import { EVERYTHING } from '../../src/postgres/visibility.ts';
import type { NewRun } from '../../src/runs/create.ts';
import { claimRun } from '../../src/runs/claim.ts';
import { createRun } from '../../src/runs/create.ts';
import { finishRun } from '../../src/runs/finish.ts';
import type { Finished, RunEnding } from '../../src/runs/finish.ts';
import { requeueExpired } from '../../src/runs/lease.ts';
import { openTerm } from '../../src/runs/term.ts';
import type { ArchiveRow } from '../../src/events/archive.ts';
import type { LogOwner } from '../../src/events/backend.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { Worker } from '../../src/worker/worker.ts';
import { createTestDatabase } from './postgres.ts';
import { testRedisUrl } from './redis.ts';

export interface TestApp {
  readonly core: Core;
  readonly worker: Worker;
  readonly assistantId: string;
  stop(): Promise<void>;
}

/** @param graph a LangGraph.js graph or Pregel application, served as `test` */
export async function startTestApp(options: {
  redis: boolean;
  graph?: unknown;
  /** A langgraph.json, for what is not said in code. */
  file?: string;
  /** false: the test plays the worker itself. */
  worker?: boolean;
  environment?: Record<string, string>;
  redisUrl?: string;
  /** A pooler in front of the database, which is then the direct URL. */
  databaseUrl?: (url: string) => string;
}): Promise<TestApp> {
  const database = await createTestDatabase();
  const url = options.databaseUrl?.(database.url) ?? database.url;
  const config = readConfig({
    DATABASE_URL: url,
    ...(url === database.url ? {} : { DATABASE_DIRECT_URL: database.url }),
    KEY_PREFIX: `t${randomBytes(5).toString('hex')}`,
    BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '0',
    // A played run renews no lease.
    WORKER_HEARTBEAT_TTL: '120',
    LOG_LEVEL: 'error',
    ...(options.redis ? { REDIS_URL: options.redisUrl ?? testRedisUrl() } : {}),
    ...options.environment,
  });
  const log = createLog({ level: config.LOG_LEVEL, format: 'text', name: 'test' });
  const core = await createCore({ ...config, DATABASE_URL: url }, log, {
    ...(options.file === undefined ? { graphs: { test: options.graph } } : { file: options.file }),
  });
  const assistantId = newId();
  await core.pool.query(
    `INSERT INTO assistants (assistant_id, graph_id, name) VALUES ($1, 'test', 'test')`,
    [assistantId],
  );
  await core.start();
  const worker = createWorkerOf(core);
  if (options.worker !== false) await worker.start();
  return {
    core,
    worker,
    assistantId,
    async stop() {
      await worker.stop();
      await core.stop();
      await database.drop();
    },
  };
}

export async function createThread(app: TestApp): Promise<string> {
  const threadId = newId();
  await app.core.pool.query('INSERT INTO threads (thread_id) VALUES ($1)', [threadId]);
  return threadId;
}

export function newRun(
  app: TestApp,
  threadId: string,
  given: Partial<NewRun> & { input?: unknown } = {},
): NewRun {
  const runId = newId();
  return {
    runId,
    threadId,
    assistantId: app.assistantId,
    metadata: {},
    multitaskStrategy: 'enqueue',
    afterSeconds: 0,
    createThread: 'no',
    threadConfig: {},
    threadMetadata: {},
    newThreadMetadata: {},
    visible: EVERYTHING,
    user: null,
    ...given,
    kwargs: {
      input: given.input ?? {},
      command: null,
      config: {
        configurable: { thread_id: threadId, run_id: runId, graph_id: 'test' },
        metadata: {},
      },
      context: {},
      stream_mode: ['values', 'custom'],
      interrupt_before: null,
      interrupt_after: null,
      webhook: null,
      feedback_keys: null,
      temporary: false,
      subgraphs: false,
      resumable: true,
      durability: null,
      ...given.kwargs,
    },
  };
}

/** Plays the first half of a worker: claims the run and opens its term. */
export async function claimTerm(app: TestApp, runId: string): Promise<LogOwner> {
  const claim = await claimRun(app.core.pool, app.core.claimer, runId);
  if (claim === undefined) throw new Error(`run ${runId} cannot be claimed`);
  const owner = await openTerm(app.core, claim);
  if (owner === undefined) throw new Error(`run ${runId} is fenced`);
  return owner;
}

/** A new run on a new or given thread, claimed. */
export async function beginRun(app: TestApp, threadId?: string): Promise<LogOwner> {
  const run = newRun(app, threadId ?? (await createThread(app)));
  await createRun(app.core.pool, run);
  return claimTerm(app, run.runId);
}

/** A worker died: its lease lapses, the sweeper takes the run. */
export async function loseLease(app: TestApp, owner: LogOwner): Promise<void> {
  await app.core.pool.query(
    `UPDATE runs SET lease_expires_at = now() - interval '1 s' WHERE run_id = $1`,
    [owner.runId],
  );
  await requeueExpired(app.core.pool);
}

/** Plays the end of a run whose events are all in `rest`, or in Postgres already. */
export async function endRun(
  app: TestApp,
  owner: LogOwner,
  lastSeq: number,
  rest: readonly ArchiveRow[] = [],
  given: Partial<RunEnding> = {},
): Promise<Finished> {
  return finishRun(app.core.pool, {
    threadId: owner.threadId,
    runId: owner.runId,
    term: owner.term,
    status: 'success',
    error: null,
    output: null,
    state: null,
    threadStatus: 'idle',
    rest,
    lastSeq,
    webhook: null,
    ...given,
  });
}

/** What one reader got, in order. */
export interface Transcript {
  events: { seq: number; term: number; type: string; data: unknown }[];
  rewinds: number[];
  status: string;
}

/** Reads until the end of the run. */
export function readAll(
  app: TestApp,
  options: Omit<ReaderOptions, 'after'> & Partial<ReaderOptions>,
): Promise<Transcript> {
  return new Promise((resolve) => {
    const transcript: Transcript = { events: [], rewinds: [], status: '' };
    openReader(
      app.core.reader,
      { after: undefined, ...options },
      {
        write(batch: LogBatch) {
          batch.events.forEach((event, i) =>
            transcript.events.push({
              seq: batch.first + i,
              term: batch.term,
              type: event.type,
              data: JSON.parse(event.data),
            }),
          );
          return undefined;
        },
        rewind(to) {
          transcript.rewinds.push(to);
          return undefined;
        },
        end(status) {
          transcript.status = status;
          resolve(transcript);
        },
      },
    );
  });
}
