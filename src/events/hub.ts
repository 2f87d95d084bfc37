/**
 * One process's ear on the logs: a single subscriber connection for any number of readers. It hands
 * live batches and hints to the readers of a thread; the readers take everything else from the log.
 *
 * Whatever hint is lost, a look at the heads of all threads with readers makes up for it, one statement
 * and one pipeline for all of them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Service } from '../lib/service.ts';
import type { Db } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import type { Redis } from '../redis/connect.ts';
import type { Keys } from '../redis/keys.ts';
import { decodeLiveMessage } from './event.ts';
import type { LiveBatch } from './event.ts';
import type { RunEnds } from './ends.ts';

const SUBSCRIBE_LIMIT_MS = 1_000;
/** Longest time that a lost live message can hold up a reader. */
const LOOK_INTERVAL_MS = 500;

export interface LogListener {
  /** A batch was appended just now. */
  onLive(batch: LiveBatch): void;
  /** There may be something new: up to `last` when that is known, a new term when undefined. */
  onHint(last: number | undefined): void;
}

export interface LogHub extends Service {
  /** Settles when live batches will arrive: read the log after that, not before. */
  attach(threadId: string, listener: LogListener): Promise<void>;
  detach(threadId: string, listener: LogListener): void;
}

export interface LogHubDeps {
  readonly db: Db;
  readonly signals: Signals;
  readonly ends: RunEnds;
  readonly keys: Keys;
  /** undefined: no Redis is configured. */
  readonly redis: { commands: Redis; subscriber: Redis; sharded: boolean } | undefined;
  onTrouble(what: string, error: unknown): void;
}

export function createLogHub(deps: LogHubDeps): LogHub {
  const { keys, redis } = deps;
  const threads = new Map<string, { listeners: Set<LogListener>; ready: Promise<unknown> }>();
  const ends = new Set(keys.endsChannels());
  /** Of a sharded channel. */
  const MESSAGE = redis?.sharded === true ? 'smessage' : 'message';
  let timer: NodeJS.Timeout | undefined;
  let looking = false;

  function hint(threadId: string, last: number | undefined): void {
    for (const listener of threads.get(threadId)?.listeners ?? []) listener.onHint(last);
  }

  function onMessage(channel: string, message: string): void {
    if (ends.has(channel)) {
      deps.ends.receive(message);
      return;
    }
    const threadId = keys.threadOfLive(channel);
    const thread = threadId === undefined ? undefined : threads.get(threadId);
    if (threadId === undefined || thread === undefined) return;
    const batch = decodeLiveMessage(threadId, message);
    if (batch !== undefined) for (const listener of thread.listeners) listener.onLive(batch);
    else if (message.startsWith('term ')) hint(threadId, undefined);
    else deps.onTrouble('live message', new Error(`thread ${threadId}: not a batch`));
  }

  /** After a gap in the messages every reader looks for itself. */
  function onGap(): void {
    for (const threadId of threads.keys()) hint(threadId, undefined);
  }

  /** Settles when subscribed, or when waiting for it would only hold a reader up. */
  async function subscribe(channel: string): Promise<void> {
    if (redis === undefined) return;
    const { subscriber, sharded } = redis;
    const subscribed = (
      sharded ? subscriber.ssubscribe(channel) : subscriber.subscribe(channel)
    ).catch(() => undefined);
    if (redis.subscriber.status !== 'ready') return;
    await Promise.race([subscribed, delay(SUBSCRIBE_LIMIT_MS, undefined, { ref: false })]);
  }

  async function look(): Promise<void> {
    if (looking || threads.size === 0) return;
    looking = true;
    try {
      const ids = [...threads.keys()];
      const [archived, appended] = await Promise.all([archivedSeqs(ids), appendedSeqs(ids)]);
      for (const id of ids) {
        const last = Math.max(archived.get(id) ?? 0, appended.get(id) ?? 0);
        // A thread that is gone has readers to tell, too.
        hint(id, archived.has(id) ? last : undefined);
      }
    } catch (error) {
      deps.onTrouble('look at the logs', error);
    } finally {
      looking = false;
    }
  }

  async function archivedSeqs(ids: string[]): Promise<Map<string, number>> {
    const { rows } = await deps.db.query<{ thread_id: string; archived_seq: number }>({
      name: 'archived-seqs',
      text: 'SELECT thread_id, archived_seq FROM threads WHERE thread_id = ANY($1)',
      values: [ids],
    });
    return new Map(rows.map((row) => [row.thread_id, row.archived_seq]));
  }

  async function appendedSeqs(ids: string[]): Promise<Map<string, number>> {
    if (redis?.commands.status !== 'ready') return new Map();
    const { commands } = redis;
    const seqs = new Map<string, number>();
    // In a cluster a pipeline goes to one node, and a shard is on one.
    const shards = new Map<number, string[]>();
    for (const id of ids) {
      const shard = keys.shardOf(id);
      const others = shards.get(shard);
      if (others === undefined) shards.set(shard, [id]);
      else others.push(id);
    }
    await Promise.all(
      [...shards.values()].map(async (shard) => {
        const pipeline = commands.pipeline();
        for (const id of shard) pipeline.hget(keys.log(id).meta, 'l');
        const replies = (await pipeline.exec().catch(() => null)) ?? [];
        shard.forEach((id, i) => seqs.set(id, Number(replies[i]?.[1] ?? 0)));
      }),
    );
    return seqs;
  }

  deps.signals.on('log', (threadId) => {
    hint(threadId, undefined);
  });
  deps.signals.onGap(onGap);

  return {
    async attach(threadId, listener) {
      let thread = threads.get(threadId);
      if (thread === undefined) {
        // Redis down or hanging: the looks and, on the direct path, the signals carry on.
        const ready = subscribe(keys.log(threadId).live);
        thread = { listeners: new Set(), ready };
        threads.set(threadId, thread);
      }
      thread.listeners.add(listener);
      await thread.ready;
    },
    detach(threadId, listener) {
      const thread = threads.get(threadId);
      if (thread === undefined) return;
      thread.listeners.delete(listener);
      if (thread.listeners.size > 0) return;
      threads.delete(threadId);
      if (redis === undefined) return;
      const { subscriber, sharded } = redis;
      const { live } = keys.log(threadId);
      void (sharded ? subscriber.sunsubscribe(live) : subscriber.unsubscribe(live)).catch(
        () => undefined,
      );
    },
    async start() {
      if (timer !== undefined) return;
      timer = setInterval(() => void look(), LOOK_INTERVAL_MS);
      if (redis === undefined) return;
      redis.subscriber.on(MESSAGE, onMessage);
      redis.subscriber.on('ready', onGap);
      // Of a cluster: subscribed again, on other nodes.
      redis.subscriber.on('subscribersReady', onGap);
      await Promise.all([...ends].map(subscribe));
    },
    stop() {
      clearInterval(timer);
      timer = undefined;
      redis?.subscriber.off(MESSAGE, onMessage);
      redis?.subscriber.off('ready', onGap);
      redis?.subscriber.off('subscribersReady', onGap);
      return Promise.resolve();
    },
  };
}
