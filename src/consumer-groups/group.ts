/**
 * Consumer groups, as the API and the project make and remove them. A group gets every archived event of the threads
 * it is about; where it is in each of them: positions.ts.
 *
 * The marks that bring it new events come from a trigger, which is on only while there are groups. Who makes the
 * first or removes the last one switches it, and waits a moment for the writers of threads.
 */
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { sqlState, transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';

/** Each costs a row per active thread, and a look by every process. */
export const GROUPS_MAX = 100;
/** Serialises those who switch the trigger: any number that nobody else uses. */
const SWITCH_LOCK = 718_281_829;
/** Writers of threads wait behind who waits for this lock, so not for long. */
const SWITCH_WAIT_MS = 2_000;
const LOCK_NOT_AVAILABLE = '55P03';
const NO_THREAD = '00000000-0000-0000-0000-000000000000';

export class ConsumerGroupNotFoundError extends AppError {
  readonly code = 'consumer_group_not_found';
}

export class ConsumerGroupExistsError extends AppError {
  readonly code = 'consumer_group_exists';
}

/** There are GROUPS_MAX already. */
export class ConsumerGroupLimitError extends AppError {
  readonly code = 'consumer_group_limit';
}

/** The threads were busy for too long: the same call may succeed a moment later. */
export class ConsumerGroupBusyError extends AppError {
  readonly code = 'consumer_group_busy';
  override readonly retryable = true;
}

export interface ConsumerGroup {
  group_id: string;
  name: string;
  /** null: a function of the project. */
  url: string | null;
  source: 'api' | 'project';
  thread_id: string | null;
  assistant_id: string | null;
  /** Without namespaces, e.g. `values`, `v2:messages`; null: all. */
  event_types: string[] | null;
  /** start: all that the archive has; now: what comes after its creation. */
  from: 'start' | 'now';
  /** Events of one delivery. */
  batch_max: number;
  created_at: Date;
  updated_at: Date;
}

export type NewConsumerGroup = Omit<ConsumerGroup, 'group_id' | 'created_at' | 'updated_at'>;

const COLUMNS = `group_id, name, url, source, thread_id, assistant_id, event_types,
  CASE WHEN from_start THEN 'start' ELSE 'now' END AS "from", batch_max, created_at, updated_at`;

/** @param visible what its maker may see: the group is told of nothing else */
const valuesOf = (group: NewConsumerGroup, visible: Visibility): unknown[] => [
  newId(),
  group.name,
  group.url,
  group.source,
  group.thread_id,
  group.assistant_id,
  group.event_types,
  visible.metadata ?? '{}',
  group.from === 'start',
  group.batch_max,
];

const INSERT = `INSERT INTO consumer_groups
    (group_id, name, url, source, thread_id, assistant_id, event_types, visible, from_start, batch_max, seeded_to)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $9 THEN '${NO_THREAD}'::uuid END)`;

/**
 * @throws {ConsumerGroupExistsError | ConsumerGroupLimitError | ConsumerGroupBusyError}
 */
export async function createGroup(
  pool: Pool,
  group: NewConsumerGroup,
  visible: Visibility,
): Promise<ConsumerGroup> {
  return switching(pool, async (db) => {
    const { rows: known } = await db.query<{ n: number; taken: boolean | null }>(
      'SELECT count(*) AS n, bool_or(name = $1) AS taken FROM consumer_groups',
      [group.name],
    );
    if (known[0]?.taken === true)
      throw new ConsumerGroupExistsError(`There is a consumer group ${group.name} already`);
    if ((known[0]?.n ?? 0) >= GROUPS_MAX)
      throw new ConsumerGroupLimitError(`There are ${GROUPS_MAX} consumer groups already`);
    const { rows } = await db.query<ConsumerGroup>(
      `${INSERT} RETURNING ${COLUMNS}`,
      valuesOf(group, visible),
    );
    return rows[0] as ConsumerGroup;
  });
}

/**
 * Makes the project's group, or changes it to what the project says now; its positions stay.
 * @throws {ConsumerGroupExistsError} the API has made one of this name
 */
export async function declareGroup(pool: Pool, group: NewConsumerGroup): Promise<void> {
  await switching(pool, async (db) => {
    const { rowCount } = await db.query(
      `${INSERT} ON CONFLICT (name) DO UPDATE SET url = excluded.url, thread_id = excluded.thread_id,
         assistant_id = excluded.assistant_id, event_types = excluded.event_types,
         batch_max = excluded.batch_max, updated_at = now()
       WHERE consumer_groups.source = 'project'`,
      valuesOf(group, { metadata: null }),
    );
    if (rowCount === 0)
      throw new ConsumerGroupExistsError(
        `consumer_groups.${group.name}: the API has made a consumer group of this name; remove one of them`,
      );
  });
}

/** With its positions and dead letters. @throws {ConsumerGroupNotFoundError | ConsumerGroupBusyError} */
export async function deleteGroup(pool: Pool, name: string, visible: Visibility): Promise<void> {
  await switching(pool, async (db) => {
    const { rowCount } = await db.query(
      `DELETE FROM consumer_groups WHERE name = $1 AND ${visibleSql('visible', '$2')}`,
      [name, visible.metadata],
    );
    if (rowCount === 0) throw new ConsumerGroupNotFoundError('Consumer group not found');
  });
}

/** @throws {ConsumerGroupNotFoundError} */
export async function readGroup(db: Db, name: string, visible: Visibility): Promise<ConsumerGroup> {
  const { rows } = await db.query<ConsumerGroup>(
    `SELECT ${COLUMNS} FROM consumer_groups WHERE name = $1 AND ${visibleSql('visible', '$2')}`,
    [name, visible.metadata],
  );
  const row = rows[0];
  if (row === undefined) throw new ConsumerGroupNotFoundError('Consumer group not found');
  return row;
}

/** By name; at most GROUPS_MAX. */
export async function listGroups(db: Db, visible: Visibility): Promise<ConsumerGroup[]> {
  const { rows } = await db.query<ConsumerGroup>({
    name: 'list-consumer-groups',
    text: `SELECT ${COLUMNS} FROM consumer_groups WHERE ${visibleSql('visible', '$1')} ORDER BY name`,
    values: [visible.metadata],
  });
  return rows;
}

/** Runs `work`, which adds or removes groups; before it the trigger is on, after it only if there are groups. */
async function switching<T>(pool: Pool, work: (db: Db) => Promise<T>): Promise<T> {
  try {
    return await transaction(pool, async (db) => {
      await db.query(`SET LOCAL lock_timeout = ${SWITCH_WAIT_MS}`);
      await db.query('SELECT pg_advisory_xact_lock($1)', [SWITCH_LOCK]);
      const before = await isOn(db);
      if (!before) await turn(db, 'ENABLE');
      const result = await work(db);
      const { rows } = await db.query('SELECT 1 FROM consumer_groups LIMIT 1');
      if (rows.length === 0) {
        await turn(db, 'DISABLE');
        // Of nobody now; the lock on threads keeps new ones away.
        await db.query('DELETE FROM consumer_group_marks');
      }
      return result;
    });
  } catch (cause) {
    if (sqlState(cause) !== LOCK_NOT_AVAILABLE) throw cause;
    throw new ConsumerGroupBusyError('The threads are busy, try again later', { cause });
  }
}

async function isOn(db: Db): Promise<boolean> {
  const { rows } = await db.query<{ enabled: string }>(
    `SELECT tgenabled AS enabled FROM pg_trigger
     WHERE tgrelid = 'threads'::regclass AND tgname = 'consumer_group_mark'`,
  );
  return rows[0]?.enabled === 'O';
}

async function turn(db: Db, to: 'ENABLE' | 'DISABLE'): Promise<void> {
  await db.query(`ALTER TABLE threads ${to} TRIGGER consumer_group_mark`);
}
