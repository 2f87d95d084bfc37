/** Every Redis key and channel name of the system, except those of documented contracts (compat/, bus/channels.ts). No other file builds one. */

export interface LogKeys {
  meta: string;
  stream: string;
  /** Marks of logs with events that are not archived: one stream for all logs of a shard. */
  dirty: string;
  live: string;
}

export interface Keys {
  readonly prefix: string;
  log(threadId: string): LogKeys;
  /** Keys of one shard share a cluster slot. */
  shardOf(threadId: string): number;
  /** The thread of a live channel, or undefined when the channel is none. */
  threadOfLive(channel: string): string | undefined;
  /** Streams of marks, one a shard. */
  dirtyStreams(): readonly string[];
  /** Channel: a run of this thread ended. On the log's shard, because the script that ends it says so. */
  ends(threadId: string): string;
  /** All of them. */
  endsChannels(): readonly string[];
  /** Channel: cancel requests. */
  readonly control: string;
}

/**
 * The hash tag puts all logs of a shard, and their marks, into one cluster slot, so that one script may
 * touch them. The number of shards may change at any time when Redis is empty of unarchived events.
 */
export function createKeys(prefix: string, shards = 1): Keys {
  const dirty = (shard: number): string => `${prefix}:{${shard}}:dirty`;
  const shardOf = (threadId: string): number =>
    shards === 1 ? 0 : Number.parseInt(threadId.slice(-4), 16) % shards;
  const logs = `${prefix}:{`;
  return {
    prefix,
    shardOf,
    log(threadId) {
      const log = `${prefix}:{${shardOf(threadId)}}:log:${threadId}`;
      return {
        meta: `${log}:meta`,
        stream: `${log}:events`,
        dirty: dirty(shardOf(threadId)),
        live: `${log}:live`,
      };
    },
    threadOfLive: (channel) =>
      channel.startsWith(logs) && channel.endsWith(':live') ? channel.split(':').at(-2) : undefined,
    dirtyStreams: () => Array.from({ length: shards }, (_, shard) => dirty(shard)),
    ends: (threadId) => `${prefix}:{${shardOf(threadId)}}:ends`,
    endsChannels: () => Array.from({ length: shards }, (_, shard) => `${prefix}:{${shard}}:ends`),
    control: `${prefix}:control`,
  };
}
