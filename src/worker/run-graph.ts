/** A claimed run as an execution of its graph, which writes its events through the log's writer. */
import type { LogOwner } from '../events/backend.ts';
import type { LogWriter } from '../events/writer.ts';
import type { ExecutionResult, GraphRegistry, StreamMode } from '../graphs/port.ts';
import { encodeData } from '../graphs/serialise.ts';
import { rootLifecycle } from '../protocol/lifecycle.ts';
import type { Claim } from '../runs/claim.ts';
import { userConfigurable } from '../runs/run.ts';
import { currentContext, recordSpan } from '../telemetry/tracing.ts';
import { feedbackUrls } from './feedback.ts';
import type { LangSmith } from './feedback.ts';

export interface RunGraphDeps {
  readonly graphs: GraphRegistry;
  readonly langSmith: LangSmith | undefined;
  onTrouble(what: string, error: unknown): void;
}

/** @throws what the graph threw, and the signal's reason when the run was stopped before it began */
export async function runGraph(
  deps: RunGraphDeps,
  claim: Claim,
  owner: LogOwner,
  writer: LogWriter,
  signal: AbortSignal,
): Promise<ExecutionResult> {
  // Stopped before it began: that is no success.
  signal.throwIfAborted();
  writer.emit('metadata', JSON.stringify({ run_id: claim.runId, attempt: claim.attempt }));
  for (const { type, data } of rootLifecycle(claim, 'running')) writer.emit(type, data);
  const { kwargs } = claim;
  // Executions of workflows have no assistant.
  const { graph_id: named } = kwargs.config.configurable;
  const graph = await deps.graphs.get(claim.graphId ?? (typeof named === 'string' ? named : ''));
  const result = await graph.execute({
    onStep: stepSpans(),
    runId: claim.runId,
    threadId: claim.threadId,
    attempt: claim.attempt,
    input: kwargs.input,
    command: kwargs.command,
    config: {
      ...kwargs.config,
      configurable: { ...kwargs.config.configurable, ...userConfigurable(claim.user) },
    },
    context: kwargs.context,
    streamModes: kwargs.stream_mode as StreamMode[],
    streamSubgraphs: kwargs.subgraphs,
    protocol: kwargs.protocol,
    interruptBefore: kwargs.interrupt_before,
    interruptAfter: kwargs.interrupt_after,
    durability: kwargs.durability,
    signal,
    writer: { threadId: claim.threadId, runId: claim.runId, term: owner.term },
    freshThread: claim.freshThread,
    // Nothing may come between the graph's end and the run's end that takes long.
    leavesLastCheckpoints: !wantsFeedback(deps, claim),
    sink: {
      emit(type, data) {
        // A graph that ignores its signal must not fill the memory.
        signal.throwIfAborted();
        writer.emit(type, encodeData(data));
      },
      drained: () => writer.drained(),
    },
    eventsBefore: writer,
  });
  await askForFeedback(deps, claim, writer, signal);
  return result;
}

/** A span a superstep, from the end of the one before it in the same graph. */
function stepSpans(): (step: number, ns: string) => void {
  const parent = currentContext();
  const begun = Date.now();
  /** Of the graph and of each subgraph: when its last superstep was over. */
  const stepped = new Map<string, number>();
  return (step, ns) => {
    const endMs = Date.now();
    const startMs = stepped.get(ns) ?? begun;
    stepped.set(ns, endMs);
    recordSpan('superstep', parent, { startMs, endMs }, { 'graph.step': step, 'graph.ns': ns });
  };
}

const wantsFeedback = ({ langSmith }: RunGraphDeps, { kwargs }: Claim): boolean =>
  langSmith !== undefined && (kwargs.feedback_keys?.length ?? 0) > 0;

async function askForFeedback(
  deps: RunGraphDeps,
  claim: Claim,
  writer: LogWriter,
  signal: AbortSignal,
): Promise<void> {
  const { feedback_keys: keys } = claim.kwargs;
  if (keys === null || keys.length === 0 || deps.langSmith === undefined) return;
  try {
    const urls = await feedbackUrls(deps.langSmith, claim.runId, keys);
    if (!signal.aborted) writer.emit('feedback', JSON.stringify(urls));
  } catch (error) {
    deps.onTrouble(`feedback URLs of run ${claim.runId}`, error);
  }
}
