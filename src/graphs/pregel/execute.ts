/**
 * One attempt at a run of a Pregel application. A second attempt is given the same input: the runtime
 * knows by the run's id what of it is in the checkpoints already.
 */
import { CheckpointQueue } from '../../checkpoints/queue.ts';
import { Command, Send, type Goto } from '../../pregel/control.ts';
import type { CallOptions } from '../../pregel/pregel-options.ts';
import type { Pregel } from '../../pregel/pregel.ts';
import type { GraphDependencies } from '../adapter.ts';
import { publicKeys, summaryOf } from '../langgraph/state.ts';
import type { Execution, ExecutionResult, RunCommand } from '../port.ts';
import { abortError } from '../abort-error.ts';
import { searchable } from '../searchable.ts';
import { toPlain } from '../serialise.ts';
import { PregelEvents } from './events.ts';
import { PregelSaver } from './saver.ts';

export async function executePregel(
  dependencies: GraphDependencies,
  app: Pregel,
  execution: Execution,
): Promise<ExecutionResult> {
  const { signal, threadId } = execution;
  const stop = new AbortController();
  const forward = (): void => {
    stop.abort(signal.reason);
  };
  if (signal.aborted) forward();
  signal.addEventListener('abort', forward, { once: true });
  const durability = execution.durability ?? 'async';
  const queue = new CheckpointQueue(dependencies.checkpoints, {
    writer: execution.writer,
    events: execution.eventsBefore,
    relaxed: durability !== 'sync',
    signal,
    onFailure: (error) => {
      stop.abort(error);
    },
    onPut: ({ ns, metadata }) => {
      execution.onStep?.(Number(metadata['step'] ?? 0), ns);
    },
  });
  const saver = new PregelSaver(dependencies.checkpoints, queue, {
    durability: durability === 'sync' ? 'sync' : 'async',
    freshThread: execution.freshThread,
  });
  const events = new PregelEvents(
    execution.sink,
    { modes: execution.streamModes, subgraphs: execution.streamSubgraphs },
    stop.signal,
  );
  try {
    const options = { ...callOptions(execution), checkpointer: saver, signal: stop.signal };
    await app.execute(inputOf(execution), options, events);
    if (execution.leavesLastCheckpoints !== true) await queue.flush();
    const configurable = { thread_id: threadId, checkpoint_ns: '' };
    const state = await app.getState({ configurable, checkpointer: saver });
    const summary = summaryOf(state as unknown as Parameters<typeof summaryOf>[0]);
    const { lastOutput } = events;
    return {
      state: summary,
      output: lastOutput === undefined ? summary.values : toPlain(lastOutput),
      checkpoints: await queue.takeRest(),
    };
  } catch (error) {
    // Whatever ended the run, what it had finished is kept (and a lost term refuses it).
    const lost = await queue.flush().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (signal.aborted) throw abortError(signal);
    throw lost ?? error;
  } finally {
    signal.removeEventListener('abort', forward);
    // Actors that ignore the signal go on in the background; they reach nothing any more.
    stop.abort();
    queue.close();
  }
}

function callOptions(execution: Execution): CallOptions {
  const { config, context, interruptBefore, interruptAfter, runId, threadId } = execution;
  return {
    configurable: { ...publicKeys(config.configurable), thread_id: threadId, run_id: runId },
    metadata: {
      ...searchable(config.configurable),
      ...config.metadata,
      run_id: runId,
      run_attempt: execution.attempt,
    },
    durability: execution.durability ?? 'async',
    idleIsError: true,
    context,
    ...(config.tags === undefined ? {} : { tags: config.tags }),
    ...(config.recursion_limit === undefined ? {} : { recursionLimit: config.recursion_limit }),
    ...(interruptBefore === null ? {} : { interruptBefore }),
    ...(interruptAfter === null ? {} : { interruptAfter }),
  };
}

function inputOf(execution: Execution): unknown {
  if (execution.command === null) return execution.input ?? null;
  const { goto, update, resume } = execution.command;
  return new Command({
    ...(goto === undefined || goto === null ? {} : { goto: gotoOf(goto) }),
    ...(update === undefined || update === null ? {} : { update }),
    ...(resume === undefined || resume === null ? {} : { resume }),
  });
}

function gotoOf(goto: RunCommand['goto']): Goto {
  const targets = (Array.isArray(goto) ? goto : [goto]) as (
    string | { node: string; input: unknown }
  )[];
  return targets.map((to) => (typeof to === 'string' ? to : new Send(to.node, to.input)));
}
