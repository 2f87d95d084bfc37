/** The log in Redis: one Lua script a batch (redis/scripts/log-append.lua). */
import { z } from 'zod';
import type { Redis } from '../redis/connect.ts';
import type { Keys } from '../redis/keys.ts';
import type { Scripts } from '../redis/scripts.ts';
import { contractEnd, liveMessage } from './live.ts';
import { decodePayload, encodeLiveHeader, encodePayload } from './event.ts';
import type { ArchiveRow } from './archive.ts';
import type { LogEvent } from './event.ts';
import { APPEND_STATUSES } from './backend.ts';
import type { LogBackend, LogOwner } from './backend.ts';

/** Logs untouched for this long leave Redis; Postgres has them, or their writer sends them again. */
export const LOG_TTL_MS = 24 * 3_600_000;

export interface RedisLogDeps {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly scripts: Scripts;
  /** Events of one thread that may wait in Redis for the archiver. */
  readonly unarchivedMax: number;
  /** Documented per-run channel, e.g. `run:{id}:events`; '' for none. */
  contractChannel(runId: string): string;
}

const AppendReply = z.tuple([z.enum(APPEND_STATUSES), z.number(), z.number()]);
const CloseReply = z.tuple([z.enum(['OK', 'FENCED'])]);
const ReopenReply = z.tuple([z.enum(['OK', 'FENCED']), z.number()], z.string());

export function createRedisBackend(deps: RedisLogDeps): LogBackend {
  const { keys, redis, scripts } = deps;
  return {
    name: 'redis',
    available: () => redis.status === 'ready',
    async append(owner, first, events) {
      const { threadId, runId, term, attempt, start, runFirst } = owner;
      const log = keys.log(threadId);
      const args: (string | number)[] = [
        threadId,
        term,
        first,
        first === start && events.length > 0 ? 1 : 0,
        runId,
        deps.unarchivedMax,
        LOG_TTL_MS,
        log.live,
        encodeLiveHeader({ first, term, attempt, runFirst, runId }),
        deps.contractChannel(runId),
        first - runFirst,
      ];
      for (const event of events) args.push(encodePayload(event));
      const reply = await scripts.run('log-append', [log.meta, log.stream, log.dirty], args);
      const [status, last, archived] = AppendReply.parse(reply);
      return { status, last, archived };
    },
    async reopen(owner, archived) {
      const { last } = await reopenLog(deps, owner.threadId, {
        term: owner.term,
        tailTerm: owner.term,
        archived,
        start: owner.start,
      });
      return last;
    },
  };
}

/**
 * Raises the fence of a log and keeps its valid tail (redis/scripts/log-reopen.lua).
 * @param options.start the term's first seq; undefined at a claim, which gets the tail to archive it
 * @returns last undefined: a newer term is there already
 */
export async function reopenLog(
  deps: Pick<RedisLogDeps, 'keys' | 'scripts'>,
  threadId: string,
  options: { term: number; tailTerm: number; archived: number; start: number | undefined },
): Promise<{ last: number | undefined; tail: ArchiveRow[] }> {
  const log = deps.keys.log(threadId);
  const { term, tailTerm, archived, start } = options;
  const reply = ReopenReply.parse(
    await deps.scripts.run(
      'log-reopen',
      [log.meta, log.stream, log.dirty],
      [threadId, term, tailTerm, archived, start ?? '', LOG_TTL_MS, log.live],
    ),
  );
  const [status, last, ...entries] = reply;
  if (status === 'FENCED') return { last: undefined, tail: [] };
  return { last, tail: decodeEntries(threadId, entries) };
}

/** A flat list id, payload, id, payload, … as the scripts answer it. */
export function decodeEntries(threadId: string, entries: readonly string[]): ArchiveRow[] {
  const rows: ArchiveRow[] = [];
  for (let i = 0; i + 1 < entries.length; i += 2) {
    const [seq, term] = (entries[i] ?? '').split('-').map(Number);
    rows.push({ threadId, seq: seq ?? 0, term: term ?? 0, ...decodePayload(entries[i + 1] ?? '') });
  }
  return rows;
}

export interface LogEnd {
  readonly threadId: string;
  readonly runId: string;
  readonly status: string;
  readonly lastSeq: number;
  /** Term of the event at lastSeq: a reader there with another term has read something else. */
  readonly term: number;
  /** Short ones go with the message, so that whoever waits need not read the row. Absent: read it. */
  readonly outcome?: EndOutcome | undefined;
}

/** How a run ended, as its row says it. */
export interface EndOutcome {
  readonly error: { error: string; message: string } | null;
  /** JSON text of what wait answers; null when there is none. */
  readonly output: string | null;
}

/** Characters of an outcome in a message, which every server gets. */
const OUTCOME_LENGTH_MAX = 8 * 1024;

/** @returns undefined when it is too long for a message */
export const outcomeToTell = (outcome: EndOutcome): EndOutcome | undefined =>
  (outcome.output?.length ?? 0) + (outcome.error?.message.length ?? 0) > OUTCOME_LENGTH_MAX
    ? undefined
    : outcome;

/**
 * Tells the readers that a run has ended and drops its log, which Postgres now has whole.
 * @param unsent events that were never appended, from `unsentFirst` on
 * @returns false when a newer term has the log already: nobody was told
 */
export async function closeLog(
  deps: Pick<RedisLogDeps, 'keys' | 'scripts'> & {
    readonly contractChannel: (runId: string) => string;
  },
  owner: LogOwner,
  end: LogEnd,
  unsentFirst: number,
  unsent: readonly LogEvent[],
): Promise<boolean> {
  const log = deps.keys.log(owner.threadId);
  const reply = await deps.scripts.run(
    'log-close',
    [log.meta, log.stream],
    [
      owner.term,
      end.lastSeq,
      LOG_TTL_MS,
      log.live,
      liveMessage(owner, unsentFirst, unsent),
      deps.keys.ends(owner.threadId),
      JSON.stringify(end),
      deps.contractChannel(owner.runId),
      unsentFirst - owner.runFirst,
      contractEnd(end.status),
    ],
  );
  return CloseReply.parse(reply)[0] === 'OK';
}
