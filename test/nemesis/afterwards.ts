/** What must be true in Postgres, and at the receiver of webhooks, when everything has ended. */
import { readFileSync } from 'node:fs';
import type { Pool } from '../../src/postgres/pool.ts';
import type { Receiver } from '../support/receiver.ts';
import { waitUntil } from '../support/wait-until.ts';
import type { Journal } from './journal.ts';

const SETTLE_MS = 60_000;

/** What each query finds is wrong. The first column is the thread that it concerns. */
const RULES: Record<string, string> = {
  'an accepted run has not ended [I5]': `SELECT thread_id, run_id, status FROM runs WHERE status IN ('pending', 'running')`,
  'a thread is busy with nothing': `SELECT thread_id, status, active_runs FROM threads WHERE active_runs <> 0 OR status = 'busy'`,
  'the archive has a hole, or more than it says [I3]': `
    SELECT t.thread_id, t.archived_seq, e.n AS events, v.n AS void
    FROM threads t
    CROSS JOIN LATERAL (SELECT count(*) AS n, coalesce(max(seq), 0) AS last FROM events WHERE thread_id = t.thread_id) e
    CROSS JOIN LATERAL (SELECT coalesce(sum(last_seq - first_seq + 1), 0)::bigint AS n FROM voids WHERE thread_id = t.thread_id) v
    WHERE e.n + v.n <> t.archived_seq OR e.last > t.archived_seq`,
  'a term falls [I6]': `
    SELECT thread_id, seq, term, before FROM
      (SELECT thread_id, seq, term, lag(term) OVER (PARTITION BY thread_id ORDER BY seq) AS before FROM events) e
    WHERE before > term`,
  'an event is of a term that began later [I6]': `
    SELECT e.thread_id, e.seq, e.term FROM events e
    LEFT JOIN terms t ON t.thread_id = e.thread_id AND t.term = e.term
    WHERE t.start_seq IS NULL OR e.seq < t.start_seq`,
  'two runs share events [I2]': `
    SELECT thread_id, run_id, first_seq, before FROM
      (SELECT thread_id, run_id, first_seq, last_seq, lag(last_seq) OVER (PARTITION BY thread_id ORDER BY first_seq, last_seq) AS before
       FROM runs WHERE first_seq IS NOT NULL AND last_seq >= first_seq) r
    WHERE before >= first_seq`,
  'runs of a thread overlap, or ran out of order [FIFO]': `
    SELECT thread_id, run_id, started_at, before FROM
      (SELECT thread_id, run_id, started_at, lag(ended_at) OVER (PARTITION BY thread_id ORDER BY position) AS before
       FROM runs WHERE started_at IS NOT NULL) r
    WHERE before > started_at`,
  'checkpoints of an attempt come after those of a later one [I6]': `
    SELECT thread_id, run, attempt, before FROM
      (SELECT thread_id, metadata ->> 'run_id' AS run, (metadata ->> 'run_attempt')::int AS attempt,
         lag((metadata ->> 'run_attempt')::int) OVER (PARTITION BY thread_id, metadata ->> 'run_id' ORDER BY position) AS before
       FROM checkpoints WHERE checkpoint_ns = '') c
    WHERE before > attempt`,
  'a date of a cron has no run, or several': `
    SELECT NULL, t.cron_id, t.dates, coalesce(r.runs, 0) AS runs
    FROM (SELECT cron_id, count(run_id) AS dates FROM cron_ticks GROUP BY cron_id) t
    LEFT JOIN (SELECT metadata ->> 'cron_id' AS cron, count(*) AS runs FROM runs WHERE metadata ? 'cron_id' GROUP BY 1) r
      ON r.cron = t.cron_id::text
    WHERE t.dates <> coalesce(r.runs, 0)`,
  'a webhook was not settled': `SELECT NULL, delivery_id, status, run_id FROM webhook_deliveries WHERE status <> 'delivered'`,
  'a run has several webhooks': `SELECT NULL, run_id, count(*) FROM webhook_deliveries GROUP BY run_id HAVING count(*) > 1`,
};

export async function checkAfterwards(
  pool: Pool,
  journal: Journal,
  given: { receiver: Receiver | undefined; effectsFile: string | undefined },
): Promise<void> {
  await waitUntil(
    async () => {
      const { rowCount } = await pool.query(
        `SELECT 1 FROM runs WHERE status IN ('pending', 'running')
         UNION ALL SELECT 1 FROM webhook_deliveries WHERE status = 'pending'`,
      );
      return rowCount === 0;
    },
    { timeoutMs: SETTLE_MS },
  ).catch(() => undefined); // the rules say what it is
  for (const [wrong, text] of Object.entries(RULES)) {
    const { rows } = await pool.query<{ thread_id: string | null }>(text);
    for (const row of rows.slice(0, 5))
      journal.violation(`${wrong}: ${JSON.stringify(row)}`, row.thread_id ?? undefined);
  }
  if (given.receiver !== undefined) await checkWebhooks(pool, journal, given.receiver);
  if (given.effectsFile !== undefined) checkEffects(journal, given.effectsFile);
}

/** Every one that counts as delivered has come, under its one id. */
async function checkWebhooks(pool: Pool, journal: Journal, receiver: Receiver): Promise<void> {
  const ids = new Map<string, Set<string>>();
  for (const { headers, body } of receiver.received) {
    const runId = String(body['run_id']);
    ids.set(runId, (ids.get(runId) ?? new Set()).add(String(headers['webhook-id'])));
  }
  for (const [runId, found] of ids)
    if (found.size > 1) journal.violation(`run ${runId}: webhooks under ${found.size} ids`);
  const { rows } = await pool.query<{ run_id: string }>(
    `SELECT run_id FROM webhook_deliveries WHERE status = 'delivered'`,
  );
  for (const { run_id: runId } of rows)
    if (!ids.has(runId)) journal.violation(`run ${runId}: its webhook never came`);
}

/** An effect of a step happened once, over all attempts. */
function checkEffects(journal: Journal, file: string): void {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return; // no step of `counter` was executed
  }
  const seen = new Set<string>();
  for (const line of text.trim().split('\n')) {
    if (seen.has(line)) journal.violation(`effect "${line}" happened twice`);
    seen.add(line);
  }
}
