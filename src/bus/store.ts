/**
 * Messages in Postgres. A message is taken for the time of a lease; when its holder dies, the lease lapses
 * and another process takes it: at least once, while takings are left. `deliveries` is the fence.
 */
import type { Db } from '../postgres/pool.ts';
import { PRIORITIES } from './message.ts';
import type { AgentMessage, MessageType, Priority } from './message.ts';

/** A message that cost its taker the life this often is left alone. */
export const DELIVERIES_MAX = 5;
/** Kept after their expiry, so that a question asked again by a next attempt finds its answer. */
const RETENTION_HOURS = 24;
const EXPIRED_MAX = 1_000;

interface Row {
  position: number;
  deliveries: number;
  message_id: string;
  type: MessageType;
  from_agent: string;
  to_agent: string;
  scope: string | null;
  content: Record<string, unknown>;
  priority: number;
  reply_to: string | null;
  created_at: Date;
  expires_at: Date;
}

const COLUMNS = `position, deliveries, message_id, type, from_agent, to_agent, scope, content, priority, reply_to,
  created_at, expires_at`;

/** A message in hand. */
export interface TakenMessage {
  readonly position: number;
  readonly deliveries: number;
  readonly message: AgentMessage;
}

/**
 * @param key a question with a known key is the one that was asked before: it is asked again if it was given up
 * @returns the message as it is stored; undefined: it has its answer already, or was sent before
 */
export async function storeMessage(
  db: Db,
  message: AgentMessage,
  key: string | undefined,
): Promise<AgentMessage | undefined> {
  const { rows } = await db.query<Row>({
    name: key === undefined ? 'bus-store' : 'bus-ask',
    text: `
      INSERT INTO bus_messages (message_id, type, from_agent, to_agent, scope, content, priority, reply_to,
        dedupe_key, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + $10 * interval '1 ms')
      ON CONFLICT ${
        // The target must be named for DO UPDATE; without a key any conflict means: sent before.
        key === undefined
          ? 'DO NOTHING'
          : `(dedupe_key) WHERE dedupe_key IS NOT NULL DO UPDATE SET
               expires_at = greatest(bus_messages.expires_at, excluded.expires_at),
               deliveries = CASE WHEN bus_messages.lease_until > now() THEN bus_messages.deliveries ELSE 0 END,
               state = CASE WHEN bus_messages.state = 'done' AND EXISTS (
                   SELECT 1 FROM bus_messages a WHERE a.to_agent = bus_messages.from_agent
                     AND a.reply_to = bus_messages.message_id) THEN 'done' ELSE 'pending' END`
      }
      RETURNING ${COLUMNS}`,
    values: [
      message.id,
      message.type,
      message.from_agent,
      message.to_agent,
      message.scope,
      JSON.stringify(message.content),
      PRIORITIES.indexOf(message.priority),
      message.reply_to,
      key ?? null,
      Date.parse(message.expires_at) - Date.now(),
    ],
  });
  return rows[0] && messageOf(rows[0]);
}

/** An answer that is there already, whoever has seen it. */
export async function findAnswer(
  db: Db,
  question: Pick<AgentMessage, 'id' | 'from_agent'>,
): Promise<AgentMessage | undefined> {
  const { rows } = await db.query<Row>({
    name: 'bus-answer',
    text: `SELECT ${COLUMNS} FROM bus_messages
           WHERE to_agent = $1 AND reply_to = $2 AND type IN ('RESPONSE', 'TASK_RESPONSE', 'ERROR')`,
    values: [question.from_agent, question.id],
  });
  return rows[0] && messageOf(rows[0]);
}

const takeSql = (which: string): string => `
  WITH due AS MATERIALIZED (
    SELECT m.position FROM bus_messages m WHERE ${which} AND m.state = 'pending'
      AND (m.lease_until IS NULL OR m.lease_until < now()) AND m.expires_at > now()
      AND m.deliveries < ${DELIVERIES_MAX}
    ORDER BY m.priority DESC, m.position LIMIT $1 FOR UPDATE SKIP LOCKED
  )
  UPDATE bus_messages m SET deliveries = m.deliveries + 1, lease_until = now() + $2 * interval '1 ms'
  FROM due WHERE m.position = due.position
  RETURNING ${COLUMNS.split(', ')
    .map((column) => `m.${column.trim()}`)
    .join(', ')}`;

const TAKE_OF_AGENTS = takeSql(
  '(m.to_agent, m.type) IN (SELECT a, t FROM unnest($3::text[], $4::text[]) AS l(a, t))',
);
const TAKE_QUESTIONS = takeSql(`m.type = 'QUERY' AND m.scope IS NOT NULL`);

/** Messages of the given agents, of the types that each of them handles. Urgent ones first. */
export async function takeMessages(
  db: Db,
  listening: readonly { agentId: string; type: MessageType }[],
  options: { limit: number; leaseMs: number },
): Promise<TakenMessage[]> {
  const { rows } = await db.query<Row>({
    name: 'bus-take',
    text: TAKE_OF_AGENTS,
    values: [
      options.limit,
      options.leaseMs,
      listening.map(({ agentId }) => agentId),
      listening.map(({ type }) => type),
    ],
  });
  return taken(rows);
}

/** Questions to nodes of any execution. */
export async function takeQuestions(
  db: Db,
  options: { limit: number; leaseMs: number },
): Promise<TakenMessage[]> {
  const { rows } = await db.query<Row>({
    name: 'bus-take-questions',
    text: TAKE_QUESTIONS,
    values: [options.limit, options.leaseMs],
  });
  return taken(rows);
}

const taken = (rows: Row[]): TakenMessage[] =>
  rows
    .sort((a, b) => b.priority - a.priority || a.position - b.position)
    .map((row) => ({
      position: row.position,
      deliveries: row.deliveries,
      message: messageOf(row),
    }));

/** @returns the positions that are still held; the others were withdrawn, or taken by somebody else */
export async function renewMessages(
  db: Db,
  held: readonly TakenMessage[],
  leaseMs: number,
): Promise<Set<number>> {
  const { rows } = await db.query<{ position: number }>({
    name: 'bus-renew',
    text: `UPDATE bus_messages m SET lease_until = now() + $3 * interval '1 ms'
           FROM unnest($1::bigint[], $2::int[]) AS h(position, deliveries)
           WHERE m.position = h.position AND m.deliveries = h.deliveries AND m.state = 'pending'
           RETURNING m.position`,
    values: [held.map((one) => one.position), held.map((one) => one.deliveries), leaseMs],
  });
  return new Set(rows.map((row) => row.position));
}

export async function settleMessage(db: Db, held: TakenMessage): Promise<void> {
  await db.query({
    name: 'bus-settle',
    text: `UPDATE bus_messages SET state = 'done', lease_until = NULL
           WHERE position = $1 AND deliveries = $2 AND state = 'pending'`,
    values: [held.position, held.deliveries],
  });
}

/** Gives a message back. @param counts false: it was not the message's fault */
export async function releaseMessage(
  db: Db,
  held: TakenMessage,
  options: { counts: boolean; afterMs: number },
): Promise<void> {
  await db.query({
    name: 'bus-release',
    text: `UPDATE bus_messages SET lease_until = now() + $3 * interval '1 ms',
             deliveries = deliveries - CASE WHEN $4 THEN 0 ELSE 1 END
           WHERE position = $1 AND deliveries = $2 AND state = 'pending'`,
    values: [held.position, held.deliveries, options.afterMs, options.counts],
  });
}

/** Nobody waits for its answer any more. */
export async function withdrawMessage(
  db: Db,
  message: Pick<AgentMessage, 'id' | 'from_agent'>,
): Promise<void> {
  await db.query({
    name: 'bus-withdraw',
    text: `UPDATE bus_messages SET state = 'withdrawn', lease_until = NULL
           WHERE from_agent = $1 AND message_id = $2 AND state = 'pending'`,
    values: [message.from_agent, message.id],
  });
}

/** @returns how many were removed */
export async function deleteExpiredMessages(db: Db): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM bus_messages WHERE position IN (
       SELECT position FROM bus_messages WHERE expires_at < now() - $1 * interval '1 hour' LIMIT $2)`,
    [RETENTION_HOURS, EXPIRED_MAX],
  );
  return rowCount ?? 0;
}

function messageOf(row: Row): AgentMessage {
  return {
    id: row.message_id,
    type: row.type,
    from_agent: row.from_agent,
    to_agent: row.to_agent,
    content: row.content,
    priority: PRIORITIES[row.priority] as Priority,
    reply_to: row.reply_to,
    scope: row.scope,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
  };
}
