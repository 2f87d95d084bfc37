/** Looks at a thread's log as it is now, for commands that answer about it. */
import { readPage } from '../../events/page.ts';
import type { PageDeps } from '../../events/page.ts';
import type { LogEvent } from '../../events/event.ts';
import { parseProtocolType } from '../../protocol/event.ts';
import type { ProtocolEventData } from '../../protocol/event.ts';
import { matches, nodeOf } from '../../protocol/filter.ts';
import type { Filter } from '../../protocol/filter.ts';

/** Pages of what Redis alone has; more than that waits for the archiver anyway. */
const TAIL_PAGES_MAX = 50;

export interface TreeNode {
  namespace: readonly string[];
  status: string;
  graph_name: string;
  children?: TreeNode[];
}

interface Archived {
  archived_seq: number;
}

/** How many events of the log a filter takes. */
export async function countEvents(
  deps: PageDeps,
  threadId: string,
  filter: Filter,
): Promise<number> {
  const { rows } = await deps.db.query<Archived & { type: string | null; count: number }>({
    name: 'count-protocol-events',
    text: `SELECT t.archived_seq, e.type, e.count FROM threads t LEFT JOIN LATERAL (
             SELECT type, count(*)::float8 AS count FROM events
             WHERE thread_id = t.thread_id AND type LIKE 'v2:%' GROUP BY type
           ) e ON true WHERE t.thread_id = $1`,
    values: [threadId],
  });
  const takes = (type: string): boolean => {
    const parsed = parseProtocolType(type);
    return parsed !== undefined && matches(filter, parsed);
  };
  const tail = await readTail(deps, threadId, rows);
  return (
    rows.reduce((sum, row) => sum + (row.type !== null && takes(row.type) ? row.count : 0), 0) +
    tail.filter(({ type }) => takes(type)).length
  );
}

/**
 * The latest run's graph and subgraphs with their last known status.
 * @returns undefined when the thread has had no run of protocol v2
 */
export async function readTree(deps: PageDeps, threadId: string): Promise<TreeNode | undefined> {
  const { rows } = await deps.db.query<Archived & { type: string | null; data: string }>({
    name: 'lifecycle-events',
    text: `SELECT t.archived_seq, e.type, e.data FROM threads t LEFT JOIN LATERAL (
             SELECT seq, type, data FROM events
             WHERE thread_id = t.thread_id AND type LIKE 'v2:lifecycle%' AND seq >= coalesce((
               SELECT max(first_seq) FROM runs r
               WHERE r.thread_id = t.thread_id AND r.kwargs->>'protocol' = 'v2'), 0)
           ) e ON true WHERE t.thread_id = $1 ORDER BY e.seq`,
    values: [threadId],
  });
  const tail = await readTail(deps, threadId, rows);
  let root: TreeNode | undefined;
  const nodes = new Map<string, TreeNode>();
  for (const event of [...rows, ...tail]) {
    const type = parseProtocolType(event.type ?? '');
    if (type?.channel !== 'lifecycle') continue;
    const { data } = (JSON.parse(event.data) as ProtocolEventData).params;
    const { event: status, graph_name: name } = data as { event: string; graph_name?: string };
    const { namespace } = type;
    if (namespace.length === 0 && status === 'running') nodes.clear();
    const last = namespace.at(-1);
    const node: TreeNode = {
      namespace,
      status,
      graph_name: name ?? (last === undefined ? 'root' : nodeOf(last)),
    };
    if (last === undefined) root = node;
    else nodes.set(namespace.join('|'), node);
  }
  return root && { ...root, ...childrenOf([], [...nodes.values()]) };
}

function childrenOf(
  namespace: readonly string[],
  nodes: readonly TreeNode[],
): { children?: TreeNode[] } {
  const children = nodes
    .filter(
      (node) =>
        node.namespace.length === namespace.length + 1 &&
        namespace.every((segment, i) => node.namespace[i] === segment),
    )
    .map((node) => ({ ...node, ...childrenOf(node.namespace, nodes) }));
  return children.length === 0 ? {} : { children };
}

/** What the archive did not have in the snapshot of `rows`. */
async function readTail(
  deps: PageDeps,
  threadId: string,
  rows: readonly Archived[],
): Promise<LogEvent[]> {
  const events: LogEvent[] = [];
  let seq = rows[0]?.archived_seq ?? 0;
  for (let pages = 0; pages < TAIL_PAGES_MAX; pages++) {
    const page = await readPage(deps, threadId, { seq, term: undefined }, null);
    if (page === undefined) break;
    events.push(...page.events);
    if (!page.more || page.seq === seq) break;
    seq = page.seq;
  }
  return events;
}
