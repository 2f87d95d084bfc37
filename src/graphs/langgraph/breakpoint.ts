/**
 * Did the attempt that died stand at a breakpoint? It wrote the checkpoint and died before it could say that
 * it stops there. LangGraph.js takes every resume for the answer to a breakpoint and would run on past it,
 * past the human who was to be asked.
 */
import type { Execution } from '../port.ts';
import type { CompiledGraph } from './compiled.ts';
import type { LangGraphSaver } from './saver.ts';

type Nodes = '*' | readonly string[];

/** @returns true when the latest checkpoint, one of this run, is where the run has to stop */
export async function stoppedAtBreakpoint(
  graph: CompiledGraph,
  saver: LangGraphSaver,
  execution: Execution,
): Promise<boolean> {
  const before: Nodes = execution.interruptBefore ?? graph.interruptBefore ?? [];
  const after: Nodes = execution.interruptAfter ?? graph.interruptAfter ?? [];
  if (before.length === 0 && after.length === 0) return false;
  const at = (checkpointId?: string): { configurable: Record<string, unknown> } => ({
    configurable: {
      thread_id: execution.threadId,
      checkpoint_ns: '',
      ...(checkpointId === undefined ? {} : { checkpoint_id: checkpointId }),
    },
  });
  const tuple = await saver.getTuple(at());
  // With writes on it, the run had gone on from here.
  if (tuple === undefined || (tuple.pendingWrites ?? []).length > 0) return false;
  const { channel_versions: versions, versions_seen: seen } = tuple.checkpoint;
  const answered = seen['__interrupt__'] ?? {};
  const moved = Object.entries(versions).some(
    ([channel, version]) => version > (answered[channel] ?? 0),
  );
  if (!moved) return false;

  const nextAt = async (checkpointId?: string): Promise<string[]> => {
    const { configurable } = at(checkpointId);
    const config = { configurable: { ...configurable, __pregel_checkpointer: saver } };
    return (await graph.getState(config)).next;
  };
  const next = await nextAt();
  if (next.length === 0) return false;
  if (includesAny(before, next)) return true;
  const parentId: unknown = tuple.parentConfig?.configurable?.['checkpoint_id'];
  if (after.length === 0 || tuple.metadata?.source !== 'loop' || typeof parentId !== 'string')
    return false;
  return includesAny(after, await nextAt(parentId));
}

function includesAny(nodes: Nodes, names: readonly string[]): boolean {
  const real = names.filter((name) => !name.startsWith('__'));
  return nodes === '*' ? real.length > 0 : real.some((name) => nodes.includes(name));
}
