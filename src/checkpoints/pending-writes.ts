/** The rule of WritePut.idx, once for every saver: which writes of a task replace which. */

/** Writes of which a task has one of each, and their index (LangGraph's table, which it does not export). */
export const SPECIAL_INDEX: Readonly<Record<string, number>> = {
  __error__: -1,
  __scheduled__: -2,
  __interrupt__: -3,
  __resume__: -4,
};

type Write = readonly [channel: string, value: unknown];
type PendingWrite = [taskId: string, channel: string, value: unknown];

/** What a checkpoint's writes in memory become when a task writes: special ones anew, regular ones only once. */
export function mergeWrites(
  known: readonly PendingWrite[],
  writes: readonly Write[],
  taskId: string,
): PendingWrite[] {
  const special = new Set(writes.map(([channel]) => channel).filter((c) => c in SPECIAL_INDEX));
  const kept = known.filter(([task, channel]) => task !== taskId || !special.has(channel));
  const hasRegular = kept.some(([task, channel]) => task === taskId && !(channel in SPECIAL_INDEX));
  const added = hasRegular ? writes.filter(([channel]) => special.has(channel)) : writes;
  return [...kept, ...added.map(([channel, value]): PendingWrite => [taskId, channel, value])];
}
