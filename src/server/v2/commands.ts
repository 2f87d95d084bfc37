/**
 * The commands of protocol v2 that concern the thread and not a connection. Nothing is kept between two
 * commands: which assistant a thread is bound to and what it waits for stands in its row.
 */
import type { Access } from '../../auth/gate.ts';
import { assistantIdOf } from '../../assistants/assistant.ts';
import { z } from 'zod';
import { AppError } from '../../errors.ts';
import type { Db } from '../../postgres/pool.ts';
import type { Visibility } from '../../postgres/visibility.ts';
import { activeRunsOf } from '../../runs/find.ts';
import { ThreadMovedOnError, ThreadNotFoundError } from '../../runs/run.ts';
import type { RunCommand } from '../../graphs/port.ts';
import { submitRun } from '../../runs/submit.ts';
import { runsOfKey, submitOnce } from '../../runs/submit-once.ts';
import { isForeignThread, readThread, threadNotFound } from '../../threads/thread.ts';
import type { ThreadRow } from '../../threads/thread.ts';
import type { RouteContext } from '../context.ts';
import type { RequestKey } from '../idempotency.ts';
import { refuseWithoutLangSmith } from '../langsmith-fields.ts';
import { newRunOf } from '../run-request.ts';
import { CommandFields, isLibraryCommand } from '../schemas/command.ts';
import type { RunCreate } from '../schemas/run.ts';
import { CommandRefusedError, errorAnswer } from './answer.ts';
import type { Answer, Command } from './answer.ts';
import { readTree } from './history.ts';
import { RespondParams, RunStartParams, StateGetParams } from './schemas.ts';
import { readThreadState } from './thread-state.ts';

const STREAM_MODES = ['values', 'updates', 'messages', 'tools', 'custom', 'tasks'] as const;

/**
 * A request for input is told before the run that asks has ended. An answer that comes sooner waits this
 * long for the end.
 */
const INTERRUPT_WAIT_MS = 10_000;

/** How often an answer is begun again because the thread's term was raised by no run. */
const ANSWER_TRIES_MAX = 3;

/** What commands ask of authorization. */
export const COMMAND_EVENTS = ['threads:read', 'threads:create_run', 'assistants:read'] as const;

export type Handler = (threadId: string, params: unknown) => Promise<object>;

/**
 * @param key of the request, when it has one: its run is made once
 * @throws {AssistantNotFoundError | ThreadNotFoundError | AuthRefusedError} over HTTP these are statuses, not answers
 * @throws {IdempotencyMismatchError | RunNotFoundError} so are these
 */
export async function answerCommand(
  context: RouteContext,
  access: Access,
  threadId: string,
  command: Command,
  more: Readonly<Record<string, Handler>> = {},
  key?: RequestKey,
): Promise<Answer> {
  const { id, method, params } = command;
  const handlers = { ...handlersOf(context, access, key), ...more };
  // Whatever the command is, it tells of the thread's log.
  const { visible } = await access.ask('threads:read', { thread_id: threadId });
  if (await context.guard.watch(isForeignThread(context.pool, threadId, visible)))
    throw threadNotFound(threadId);
  const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
  if (handler === undefined)
    return errorAnswer(id, 'unknown_command', `Unknown protocol command: ${method}`);
  try {
    const result = await handler(threadId, params ?? {});
    const appliedSeq = await context.guard.watch(archivedSeq(context, threadId));
    return {
      type: 'success',
      id,
      result,
      meta: { thread_id: threadId, applied_through_seq: appliedSeq },
    };
  } catch (error) {
    if (error instanceof CommandRefusedError) return errorAnswer(id, error.error, error.message);
    if (error instanceof z.ZodError)
      return errorAnswer(id, 'invalid_argument', `${method}: ${z.prettifyError(error)}`);
    if (error instanceof AppError && ['thread_busy', 'input_invalid'].includes(error.code))
      return errorAnswer(id, 'invalid_argument', error.message);
    throw error;
  }
}

const refuse = (error: CommandRefusedError['error'], message: string): CommandRefusedError =>
  new CommandRefusedError(error, message);

function handlersOf(
  context: RouteContext,
  access: Access,
  key: RequestKey | undefined,
): Readonly<Record<string, Handler | undefined>> {
  const { pool, guard } = context;
  const onlySocket: Handler = () =>
    Promise.reject(
      refuse(
        'not_supported',
        'Subscriptions belong to a WebSocket; over HTTP, POST …/stream/events is the subscription.',
      ),
    );
  async function mayRead(threadId: string): Promise<Visibility> {
    return (await access.ask('threads:read', { thread_id: threadId })).visible;
  }
  /** The run that the request has made before. What the thread has become since is no matter then. */
  async function madeBefore(threadId: string): Promise<{ run_id: string } | undefined> {
    if (key === undefined) return undefined;
    const visible = await mayRead(threadId);
    const runs = await guard.watch(runsOfKey(pool, { ...key, visible }));
    return runs?.[0] && { run_id: runs[0].run_id };
  }
  return {
    'run.start': async (threadId, params) => {
      const { assistant_id, input, multitaskStrategy, ...rest } = RunStartParams.parse(params);
      const known = await madeBefore(threadId);
      if (known !== undefined) return known;
      refuseWithoutLangSmith(context.config.langSmith, rest);
      const thread = await guard.watch(findThread(context, threadId, await mayRead(threadId)));
      checkBinding(thread, assistant_id);
      // Who goes on from an earlier checkpoint does not answer what the latest one asks.
      const forks = rest.config?.configurable?.['checkpoint_id'] != null;
      const resumes = input != null && !forks && interruptsOf(thread).length > 0;
      const given = isLibraryCommand(input)
        ? { command: CommandFields.parse(input) }
        : resumes
          ? { command: { resume: input } }
          : { input };
      const startWith = (what: typeof given, restingAt?: number): Promise<{ run_id: string }> =>
        start(
          context,
          access,
          threadId,
          { assistant_id, ...what, ...optional(rest) },
          key,
          multitaskStrategy,
          restingAt,
        );
      if (!resumes || isLibraryCommand(input) || thread === undefined) return startWith(given);
      return answering(thread, (term) => startWith(given, term)).catch((error: unknown) => {
        // Somebody else has answered: this is no answer to what is asked after that.
        if (error instanceof ThreadMovedOnError) return startWith({ input });
        throw error;
      });
    },
    'input.respond': async (threadId, params) => {
      const { update, goto, config, metadata, ...answer } = RespondParams.parse(params);
      if ((await madeBefore(threadId)) !== undefined) return {};
      const responses =
        'responses' in answer
          ? answer.responses
          : [{ interrupt_id: answer.interrupt_id, response: answer.response }];
      const thread = await interruptedThread(context, threadId);
      const pending = interruptsOf(thread);
      for (const { interrupt_id: id } of responses)
        if (!pending.includes(id))
          throw refuse('no_such_interrupt', `Thread ${threadId} does not wait for ${id}.`);
      const resume = Object.fromEntries(
        responses.map(({ interrupt_id: id, response }) => [id, response ?? null]),
      );
      const command: RunCommand = { resume, ...optional({ update, goto }) };
      const assistantId = boundAssistant(thread) ?? '';
      await answering(thread, (term) =>
        start(
          context,
          access,
          threadId,
          { assistant_id: assistantId, command, ...optional({ config, metadata }) },
          key,
          'enqueue',
          term,
        ),
      ).catch((error: unknown) => {
        if (error instanceof ThreadMovedOnError)
          throw refuse('no_such_interrupt', `Thread ${threadId} has been answered meanwhile.`);
        throw error;
      });
      return {};
    },
    'state.get': async (threadId, params) => {
      const { namespace, keys } = StateGetParams.parse(params);
      const state = await guard.watch(readThreadState(context, access, threadId, namespace ?? []));
      const { values, checkpoint } = state;
      const wanted = keys ?? undefined;
      return {
        values:
          wanted === undefined
            ? values
            : Object.fromEntries(Object.entries(values).filter(([key]) => wanted.includes(key))),
        ...(checkpoint === undefined ? {} : { checkpoint }),
      };
    },
    'agent.getTree': async (threadId) => {
      const tree = await guard.watch(readTree(context.reader, threadId));
      if (tree === undefined)
        throw refuse('no_such_run', `Thread ${threadId} has had no run of this protocol.`);
      return { tree };
    },
    'subscription.subscribe': onlySocket,
    'subscription.unsubscribe': onlySocket,
    'subscription.reconnect': () =>
      Promise.reject(
        refuse('not_supported', 'Subscribe again: a subscription begins with everything there is.'),
      ),
  };

  /** The thread once it waits for input. */
  /**
   * Makes a run that answers what `thread` asks. A term that no run has begun (another run of the thread was deleted,
   * its states were pruned) has answered nothing.
   * @throws {ThreadMovedOnError} somebody else has
   */
  async function answering<T>(thread: ThreadRow, begin: (term: number) => Promise<T>): Promise<T> {
    const { thread_id: threadId } = thread;
    let { term } = thread;
    for (let tries = 1; ; tries++)
      try {
        return await begin(term);
      } catch (error) {
        if (!(error instanceof ThreadMovedOnError) || tries === ANSWER_TRIES_MAX) throw error;
        const now = await guard.watch(findThread(context, threadId, await mayRead(threadId)));
        if (now === undefined || now.active_runs > 0) throw error;
        if (interruptsOf(now).join() !== interruptsOf(thread).join()) throw error;
        if (await guard.watch(hasBegunSince(pool, threadId, thread.term))) throw error;
        term = now.term;
      }
  }
  async function interruptedThread(ctx: RouteContext, threadId: string): Promise<ThreadRow> {
    const deadline = AbortSignal.timeout(INTERRUPT_WAIT_MS);
    const visible = await mayRead(threadId);
    let thread = await guard.watch(findThread(ctx, threadId, visible));
    if (thread === undefined || boundAssistant(thread) === undefined)
      throw refuse('no_such_run', 'Thread has no active assistant; call run.start first.');
    while (thread !== undefined && thread.active_runs > 0 && !deadline.aborted) {
      const ends = (await guard.watch(activeRunsOf(pool, threadId))).map((runId) =>
        ctx.ends.wait(runId, deadline),
      );
      for (const end of ends) end.catch(() => undefined);
      if (ends.length > 0) await Promise.any(ends).catch(() => undefined);
      thread = await guard.watch(findThread(ctx, threadId, visible));
    }
    if (thread === undefined || thread.active_runs > 0 || interruptsOf(thread).length === 0)
      throw refuse(
        'invalid_argument',
        'input.respond can only be used while the thread waits for input.',
      );
    return thread;
  }
}

type Start = Pick<
  RunCreate,
  'assistant_id' | 'input' | 'command' | 'config' | 'metadata' | 'langsmith_tracer'
>;

/** @param restingAt of the thread, where the run answers what it asks. @throws {ThreadMovedOnError} */
async function start(
  context: RouteContext,
  access: Access,
  threadId: string,
  given: Start,
  key: RequestKey | undefined,
  strategy: RunCreate['multitask_strategy'] = 'enqueue',
  restingAt?: number,
): Promise<{ run_id: string }> {
  const body: RunCreate = {
    ...given,
    stream_mode: [...STREAM_MODES],
    stream_subgraphs: true,
    stream_resumable: true,
    if_not_exists: 'create',
    multitask_strategy: strategy,
  };
  const { pool, submit } = context;
  const newRun = await context.guard.watch(newRunOf(pool, body, threadId, {}, access));
  const run: typeof newRun = {
    ...newRun,
    kwargs: { ...newRun.kwargs, protocol: 'v2' },
    ...(restingAt === undefined ? {} : { restingAt }),
  };
  if (key === undefined) await context.guard.watch(submitRun(submit, run));
  else {
    const { runs } = await context.guard.watch(
      submitOnce(submit, [run], { ...key, visible: run.visible }),
    );
    return { run_id: runs[0]?.run_id ?? run.runId };
  }
  return { run_id: run.runId };
}

function checkBinding(thread: ThreadRow | undefined, assistant: string): void {
  const bound = thread && boundAssistant(thread);
  if (bound !== undefined && bound !== assistantIdOf(assistant))
    throw refuse(
      'invalid_argument',
      `Thread is bound to assistant ${bound}; cannot run ${assistant}.`,
    );
}

function boundAssistant(thread: ThreadRow): string | undefined {
  const id = thread.metadata['assistant_id'];
  return typeof id === 'string' ? id : undefined;
}

/** Ids of the interrupts that a thread at rest waits for. */
function interruptsOf(thread: ThreadRow | undefined): string[] {
  if (thread?.status !== 'interrupted') return [];
  return (Object.values(thread.interrupts) as { id?: string }[][])
    .flat()
    .flatMap(({ id }) => (id === undefined ? [] : [id]));
}

async function findThread(
  context: RouteContext,
  threadId: string,
  visible: Visibility,
): Promise<ThreadRow | undefined> {
  try {
    return await readThread(context.pool, threadId, visible);
  } catch (error) {
    if (error instanceof ThreadNotFoundError) return undefined;
    throw error;
  }
}

async function hasBegunSince(db: Db, threadId: string, term: number): Promise<boolean> {
  const { rows } = await db.query(
    'SELECT 1 FROM terms WHERE thread_id = $1 AND term > $2 LIMIT 1',
    [threadId, term],
  );
  return rows.length > 0;
}

async function archivedSeq({ pool }: RouteContext, threadId: string): Promise<number> {
  const { rows } = await pool.query<{ archived_seq: number }>({
    name: 'archived-seq',
    text: 'SELECT archived_seq FROM threads WHERE thread_id = $1',
    values: [threadId],
  });
  return rows[0]?.archived_seq ?? 0;
}

/** Without what is null or undefined: absent means not given. */
const optional = <T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  ) as { [K in keyof T]?: NonNullable<T[K]> };
