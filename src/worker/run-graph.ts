/** A claimed run as an execution of its graph, which writes its events through the log's writer. */
import type { LogOwner } from '../events/backend.ts';
import type { LogWriter } from '../events/writer.ts';
import type { ExecutionResult, GraphRegistry, StreamMode } from '../graphs/port.ts';
import { encodeData } from '../graphs/serialise.ts';
import { rootLifecycle } from '../protocol/lifecycle.ts';
import type { Claim } from '../runs/claim.ts';

/** @throws what the graph threw, and the signal's reason when the run was stopped before it began */
export async function runGraph(
  graphs: GraphRegistry,
  claim: Claim,
  owner: LogOwner,
  writer: LogWriter,
  signal: AbortSignal,
): Promise<ExecutionResult> {
  // Stopped before it began: that is no success.
  signal.throwIfAborted();
  writer.emit('metadata', JSON.stringify({ run_id: claim.runId, attempt: claim.attempt }));
  for (const { type, data } of rootLifecycle(claim, 'running')) writer.emit(type, data);
  const graph = await graphs.get(claim.graphId ?? '');
  const { kwargs } = claim;
  return graph.execute({
    runId: claim.runId,
    threadId: claim.threadId,
    attempt: claim.attempt,
    input: kwargs.input,
    command: kwargs.command,
    config: kwargs.config,
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
    leavesLastCheckpoints: true,
    sink: {
      emit(type, data) {
        // A graph that ignores its signal must not fill the memory.
        signal.throwIfAborted();
        writer.emit(type, encodeData(data));
      },
      drained: () => writer.drained(),
    },
  });
}
