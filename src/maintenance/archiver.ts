/**
 * Brings events from Redis to Postgres. Logs with unarchived events are marked in a stream; a consumer group
 * hands each mark to one archiver, and a mark is acknowledged only after the commit, so a crashed archiver's
 * marks are taken over by another. Doing it twice does no harm: the archive takes only the next row.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { archiveRows } from '../events/archive.ts';
import type { ArchiveRow } from '../events/archive.ts';
import { decodeEntries, LOG_TTL_MS } from '../events/redis-backend.ts';
import type { Service } from '../lib/service.ts';
import type { Db } from '../postgres/pool.ts';
import type { Redis } from '../redis/connect.ts';
import type { Keys } from '../redis/keys.ts';
import type { Scripts } from '../redis/scripts.ts';
import type { Metrics } from '../telemetry/metrics.ts';

const GROUP = 'archivers';
/** A mark rests this long, so that events gather and a short run, archived by its own end, never passes here. */
const LINGER_MS = 60;
const MARKS_MAX = 256;
/** Events of one log and one cycle: bounds the script's reply. */
const TAKE_EVENTS_MAX = 2_000;
/** Rows of one INSERT. */
const ROWS_MAX = 8_000;
/** Characters of one INSERT, above which no further log is taken: each brings at most what its writer's buffer holds. */
const CHARS_MAX = 16 * 1024 * 1024;
/** How long a mark may be in a consumer's hands before another takes it over. */
const TAKE_OVER_MS = 5_000;
const BLOCK_MS = 1_000;
/** What stop() waits for work in hand. */
const STOP_LIMIT_MS = 2_000;
const RETRY_MS = 500;

export interface ArchiverDeps {
  readonly db: Db;
  readonly keys: Keys;
  /** The marks of one shard: in a cluster one read cannot have those of several. */
  readonly stream: string;
  readonly scripts: Scripts;
  readonly commands: Redis;
  /** For XREADGROUP BLOCK; one of its own for each archiver. */
  readonly blocking: Redis;
  readonly metrics: Metrics;
  /** Name of this consumer in the group. */
  readonly name: string;
  /** Events have come to the archive. */
  onArchived(): void;
  onTrouble(what: string, error: unknown): void;
}

interface Mark {
  readonly stream: string;
  readonly id: string;
  readonly threadId: string;
}

const Entries = z.array(z.tuple([z.string(), z.array(z.string()).nullable()]));
const ReadReply = z.array(z.tuple([z.string(), Entries])).nullable();
const ClaimReply = z.tuple([z.string(), Entries], z.unknown());
const TakeReply = z.union([z.tuple([]), z.tuple([z.number()], z.string())]);

export function createArchiver(deps: ArchiverDeps): Service {
  const { commands, keys, scripts } = deps;
  const streams = [deps.stream];
  let running: Promise<void> | undefined;
  let stopping = false;
  let grouped = false;
  /** By a clock that does not jump. */
  let takeOverAt = 0;

  async function ensureGroups(): Promise<void> {
    for (const stream of streams)
      await commands.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM').catch((error: unknown) => {
        if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error;
      });
    grouped = true;
  }

  const marksOf = (stream: string, entries: z.infer<typeof Entries>): Mark[] =>
    entries.map(([id, fields]) => ({ stream, id, threadId: fields?.[1] ?? '' }));

  async function read(): Promise<Mark[]> {
    if (performance.now() >= takeOverAt) {
      takeOverAt = performance.now() + TAKE_OVER_MS / 2;
      const over: Mark[] = [];
      for (const stream of streams) {
        const reply = ClaimReply.parse(
          await commands.xautoclaim(
            stream,
            GROUP,
            deps.name,
            TAKE_OVER_MS,
            '0',
            'COUNT',
            MARKS_MAX,
          ),
        );
        over.push(...marksOf(stream, reply[1]));
      }
      if (over.length > 0) return over;
    }
    const reply = ReadReply.parse(
      await deps.blocking.xreadgroup(
        'GROUP',
        GROUP,
        deps.name,
        'COUNT',
        MARKS_MAX,
        'BLOCK',
        BLOCK_MS,
        'STREAMS',
        ...streams,
        ...streams.map(() => '>'),
      ),
    );
    return (reply ?? []).flatMap(([stream, entries]) => marksOf(stream, entries));
  }

  /** Archives the marked logs; several marks of one log count once. */
  async function archive(marks: readonly Mark[]): Promise<void> {
    const oldest = Math.min(...marks.map((mark) => Number(mark.id.split('-')[0])));
    const restMs = oldest + LINGER_MS - Date.now();
    // The mark's time is Redis' clock: whatever it says, never rest longer than this.
    if (restMs > 0) await delay(Math.min(restMs, LINGER_MS));

    const threadIds = [...new Set(marks.map((mark) => mark.threadId))].filter((id) => id !== '');
    for (let i = 0; i < threadIds.length;) {
      const rows: ArchiveRow[] = [];
      const taken: string[] = [];
      let chars = 0;
      while (i < threadIds.length && rows.length < ROWS_MAX && chars < CHARS_MAX) {
        const chunk = threadIds.slice(i, i + Math.ceil((ROWS_MAX - rows.length) / TAKE_EVENTS_MAX));
        i += chunk.length;
        taken.push(...chunk);
        const replies = await Promise.all(
          chunk.map((threadId) => {
            const log = keys.log(threadId);
            return scripts.run('log-take', [log.meta, log.stream], [TAKE_EVENTS_MAX]);
          }),
        );
        replies.forEach((reply, n) => {
          const [, ...entries] = TakeReply.parse(reply);
          for (const row of decodeEntries(chunk[n] ?? '', entries)) {
            rows.push(row);
            chars += row.data.length;
          }
        });
      }
      await store(taken, rows);
    }
    await acknowledge(marks);
    deps.metrics.archiveSeconds.observe((Date.now() - oldest) / 1_000);
  }

  async function store(threadIds: readonly string[], rows: readonly ArchiveRow[]): Promise<void> {
    const archived =
      rows.length === 0 ? new Map<string, number>() : await archiveRows(deps.db, rows);
    deps.metrics.eventsArchived.inc(rows.length);
    if (archived.size > 0) deps.onArchived();
    const firsts = new Map<string, number>();
    for (const { threadId, seq } of rows) if (!firsts.has(threadId)) firsts.set(threadId, seq);
    await Promise.all(
      threadIds.map(async (threadId) => {
        const seq = archived.get(threadId);
        // Below the first: Postgres goes on from elsewhere and will never take these. Marked again, they would come back for ever.
        if (seq === undefined || seq < (firsts.get(threadId) ?? 0)) return;
        const log = keys.log(threadId);
        await scripts.run(
          'log-archived',
          [log.meta, log.stream, log.dirty],
          [threadId, seq, LOG_TTL_MS],
        );
      }),
    );
  }

  async function acknowledge(marks: readonly Mark[]): Promise<void> {
    for (const stream of streams) {
      const ids = marks.filter((mark) => mark.stream === stream).map((mark) => mark.id);
      if (ids.length === 0) continue;
      await commands.xack(stream, GROUP, ...ids);
      await commands.xdel(stream, ...ids);
    }
  }

  async function run(): Promise<void> {
    while (!stopping) {
      try {
        if (!grouped) await ensureGroups();
        const marks = await read();
        if (marks.length > 0) await archive(marks);
      } catch (error) {
        // NOGROUP after a FLUSHALL, Redis or Postgres away: begin again from the group.
        grouped = false;
        if (stopping as boolean) break;
        deps.onTrouble('archive', error);
        await delay(RETRY_MS);
      }
    }
  }

  return {
    start() {
      running ??= run();
      return Promise.resolve();
    },
    async stop() {
      stopping = true;
      // Ends a blocking read; marks in hand are taken over by another archiver.
      deps.blocking.disconnect();
      // While it reconnects, ioredis leaves commands that wait for it unsettled for ever.
      await Promise.race([running, delay(STOP_LIMIT_MS, undefined, { ref: false })]);
    },
  };
}
