/** Gathers what the checker needs from a cluster when a run is over, and asks it everything. */
import { counterViolations, endViolations, logViolations, viewViolations } from './checker.ts';
import type { LogRow, Session } from './checker.ts';
import type { Cluster } from './cluster.ts';

export interface Evidence {
  threadId: string;
  runId: string;
  /** One entry a client: its connections in order. */
  clients: readonly (readonly Session[])[];
  /** Events that the probe emits in a whole run; undefined: it was stopped before its end. */
  expected?: number;
}

/** @returns every invariant that does not hold, in words */
export async function violationsIn(cluster: Cluster, evidence: Evidence): Promise<string[]> {
  const { threadId, runId, clients } = evidence;
  const [archive, row, api, log] = await Promise.all([
    cluster.archived(runId),
    cluster.row(runId),
    cluster.request('GET', `/threads/${threadId}/runs/${runId}`),
    cluster.pool.query<LogRow>('SELECT seq, term FROM events WHERE thread_id = $1 ORDER BY seq', [
      threadId,
    ]),
  ]);
  const status = (api.body as { status?: string }).status ?? `${api.status}`;
  return [
    ...logViolations(log.rows),
    ...counterViolations(archive, evidence.expected),
    ...endViolations({ row: row.status, api: status, archive, clients }),
    ...clients.flatMap((sessions, c) =>
      viewViolations(sessions, archive).map((wrong) => `client ${c + 1}: ${wrong}`),
    ),
  ];
}
