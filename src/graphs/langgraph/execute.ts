/**
 * One attempt at a run of a LangGraph.js graph.
 *
 * Order of things: find out whether an earlier attempt left a checkpoint → stream, translating chunks →
 * the state the thread is left in, with the checkpoints that are left for the run's end. LangGraph.js runs with durability `sync`
 * whatever was asked (but `exit`), because only then does it wait for its saver between supersteps: the
 * saver decides when that wait is over, and holds the graph back when events or checkpoints pile up.
 */
import { Command, Send } from '@langchain/langgraph';
import { CheckpointQueue } from '../../checkpoints/queue.ts';
import type { GraphDependencies } from '../adapter.ts';
import type { Execution, ExecutionResult, RunCommand } from '../port.ts';
import { abortError } from '../abort-error.ts';
import { searchable } from '../searchable.ts';
import { toPlain } from '../serialise.ts';
import { stoppedAtBreakpoint } from './breakpoint.ts';
import { ChunkPace } from './chunk-pace.ts';
import type { CompiledGraph, LangGraphConfig } from './compiled.ts';
import { EventTranslator, INTERRUPT } from './events.ts';
import { ProtocolTranslator } from './protocol-events.ts';
import { LangGraphSaver } from './saver.ts';
import { summaryOf } from './state.ts';
import type { LangGraphStore } from './store.ts';
import { tracerOf } from './tracer.ts';
import type { RunTranslator } from './translator.ts';

/** Keys of configurable that name the checkpoint to start from. */
const START_AT = new Set(['checkpoint_ns', 'checkpoint_id', 'checkpoint_map']);

/** What abort() would make anew, with a stack, for each run. */
const OVER = new DOMException('This operation was aborted', 'AbortError');

export async function execute(
  dependencies: GraphDependencies,
  graph: CompiledGraph,
  store: LangGraphStore,
  execution: Execution,
): Promise<ExecutionResult> {
  const { signal, sink, threadId } = execution;
  const stop = new AbortController();
  const forward = (): void => {
    stop.abort(signal.reason);
  };
  if (signal.aborted) forward();
  signal.addEventListener('abort', forward, { once: true });

  const pace = new ChunkPace(sink, stop.signal);
  const queue = new CheckpointQueue(dependencies.checkpoints, {
    writer: execution.writer,
    events: execution.eventsBefore,
    emitted: () => pace.allTaken(),
    relaxed: execution.durability !== 'sync',
    signal,
    onFailure: (error) => {
      stop.abort(error);
    },
    onPut: ({ ns, metadata }) => {
      execution.onStep?.(Number(metadata['step'] ?? 0), ns);
    },
  });
  const saver = new LangGraphSaver(dependencies.checkpoints, queue, {
    metadata: checkpointMetadata(execution),
    durability: execution.durability === 'sync' ? 'sync' : 'async',
    freshThread: execution.freshThread,
    hold: () => pace.room(),
    caughtUp: () => pace.caughtUp(),
    // With `exit` there is but one checkpoint, the last.
    stepsMax: execution.durability === 'exit' ? 1 : execution.config.recursion_limit,
  });
  const translator: RunTranslator =
    execution.protocol === 'v2'
      ? new ProtocolTranslator(sink, graph.streamTransformers ?? [])
      : new EventTranslator(sink, {
          modes: execution.streamModes,
          subgraphs: execution.streamSubgraphs,
        });
  try {
    const latest = execution.attempt === 1 ? undefined : await saver.getTuple(latestOf(threadId));
    const resumes = latest?.metadata !== undefined && runIdOf(latest.metadata) === execution.runId;
    if (resumes && (await stoppedAtBreakpoint(graph, saver, execution))) translator.breakpoint();
    else {
      const { langSmith = false } = dependencies;
      const options = streamOptions(execution, saver, store, translator, stop.signal, resumes);
      const tracer = langSmith ? tracerOf(execution.config.configurable) : undefined;
      if (tracer !== undefined) options['callbacks'] = [tracer];
      // Going on from a checkpoint of this very run: its input is part of that checkpoint already.
      const input = resumes ? null : await inputOf(saver, execution);
      await stream(graph, input, options, translator, execution, pace);
    }
    await translator.finish();
    if (execution.leavesLastCheckpoints !== true) await queue.flush();
    const result = await resultOf(graph, saver, translator, threadId);
    return { ...result, checkpoints: await queue.takeRest() };
  } catch (error) {
    // Whatever ended the run, what it had finished is kept, as far as its events are (and a lost term refuses it).
    const lost = await queue.flush().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (signal.aborted) throw abortError(signal);
    translator.fail(lost ?? error);
    throw lost ?? error;
  } finally {
    signal.removeEventListener('abort', forward);
    // Nodes that ignore the signal go on in the background; they reach nothing any more.
    stop.abort(OVER);
    queue.close();
  }
}

async function stream(
  graph: CompiledGraph,
  input: unknown,
  options: LangGraphConfig,
  translator: RunTranslator,
  execution: Execution,
  pace: ChunkPace,
): Promise<void> {
  if (execution.streamModes.includes('events')) {
    for await (const event of graph.streamEvents(input, { ...options, version: 'v2' })) {
      if (event.tags?.includes('langsmith:hidden')) continue;
      if (event.event === 'on_chain_stream' && event.run_id === execution.runId)
        translator.chunk(event.data.chunk);
      else translator.raw(event);
      const full = pace.next();
      if (full !== undefined) await full;
    }
    return;
  }
  for await (const chunk of await graph.stream(input, options)) {
    translator.chunk(chunk);
    // An await of nothing is a turn of the promise hooks for each event.
    const full = pace.next();
    if (full !== undefined) await full;
  }
}

function streamOptions(
  execution: Execution,
  saver: LangGraphSaver,
  store: LangGraphStore,
  translator: RunTranslator,
  signal: AbortSignal,
  resumes: boolean,
): LangGraphConfig {
  const { config, interruptBefore, interruptAfter } = execution;
  const given = Object.entries(config.configurable).filter(
    ([key]) => !key.startsWith('__') && !(resumes && START_AT.has(key)),
  );
  const options: LangGraphConfig = {
    configurable: {
      ...Object.fromEntries(given),
      thread_id: execution.threadId,
      run_id: execution.runId,
      // Per run, so that runs share the exported graph without writing to it; subgraphs inherit it.
      __pregel_checkpointer: saver,
    },
    metadata: runMetadata(execution),
    runId: execution.runId,
    ...translator.streamOptions,
    durability: execution.durability === 'exit' ? 'exit' : 'sync',
    store,
    signal,
  };
  // Absent, not undefined: LangGraph.js spreads these over the graph's own settings.
  if (config.tags !== undefined) options['tags'] = config.tags;
  if (config.recursion_limit !== undefined) options['recursionLimit'] = config.recursion_limit;
  if (Object.keys(execution.context).length > 0) options['context'] = execution.context;
  if (interruptBefore !== null) options['interruptBefore'] = interruptBefore;
  if (interruptAfter !== null) options['interruptAfter'] = interruptAfter;
  return options;
}

function runMetadata(execution: Execution): Record<string, unknown> {
  return {
    ...execution.config.metadata,
    run_id: execution.runId,
    run_attempt: execution.attempt,
    langgraph_host: 'self-hosted',
  };
}

/** HTTP.md, 3.2: what the history's metadata filter searches. */
function checkpointMetadata(execution: Execution): Record<string, unknown> {
  return { ...searchable(execution.config.configurable), ...runMetadata(execution) };
}

async function inputOf(saver: LangGraphSaver, execution: Execution): Promise<unknown> {
  if (execution.command === null) return execution.input ?? null;
  const { resume } = execution.command;
  return commandOf({
    ...execution.command,
    resume: resume == null ? undefined : await resumeOf(saver, execution, resume),
  });
}

export function commandOf({ goto, update, resume }: RunCommand): Command {
  return new Command({
    ...(goto == null ? {} : { goto: gotoOf(goto) }),
    ...(update == null ? {} : { update: update as Record<string, unknown> }),
    ...(resume === undefined ? {} : { resume }),
  });
}

function gotoOf(goto: unknown): (string | Send)[] {
  const targets = (Array.isArray(goto) ? goto : [goto]) as (
    string | { node: string; input: unknown }
  )[];
  return targets.map((to) => (typeof to === 'string' ? to : new Send(to.node, to.input)));
}

/**
 * LangGraph.js takes a bare falsy answer (false, 0, '') for none. Addressed to the interrupt by its id it
 * arrives, so that is done for it when there is only one it can be meant for.
 */
async function resumeOf(
  saver: LangGraphSaver,
  execution: Execution,
  resume: RunCommand['resume'],
): Promise<unknown> {
  if (resume) return resume;
  const tuple = await saver.getTuple(latestOf(execution.threadId));
  const ids = (tuple?.pendingWrites ?? [])
    .filter(([, channel]) => channel === INTERRUPT)
    .flatMap(([, , value]) => value as { id?: string } | { id?: string }[])
    .map((interrupt) => interrupt.id);
  const [id, ...others] = new Set(ids);
  return id === undefined || others.length > 0 ? resume : { [id]: resume };
}

async function resultOf(
  graph: CompiledGraph,
  saver: LangGraphSaver,
  translator: RunTranslator,
  threadId: string,
): Promise<ExecutionResult> {
  // A graph that was not interrupted has run out of tasks: its state is what it last showed.
  if (!translator.interrupted && translator.lastValues !== undefined) {
    const values = toPlain(translator.lastValues);
    return { state: { values, next: [], interrupts: {} }, output: values };
  }
  const { configurable } = latestOf(threadId);
  const snapshot = await graph.getState({
    configurable: { ...configurable, __pregel_checkpointer: saver },
  });
  const state = summaryOf(snapshot);
  const { lastOutput } = translator;
  return { state, output: lastOutput === undefined ? state.values : toPlain(lastOutput) };
}

const latestOf = (
  threadId: string,
): { configurable: { thread_id: string; checkpoint_ns: string } } => ({
  configurable: { thread_id: threadId, checkpoint_ns: '' },
});

const runIdOf = (metadata: object): unknown => ('run_id' in metadata ? metadata.run_id : undefined);
