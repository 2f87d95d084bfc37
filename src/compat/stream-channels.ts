/**
 * Makes `PUBSUB CHANNELS run:*:events` tell which runs are being streamed, as the document's monitoring expects:
 * the process subscribes to the documented channel of each run that it streams. Events come by the log, so what
 * arrives here is not looked at; it costs Redis a second copy of each event, and is off unless asked for.
 */
import type { Redis } from '../redis/connect.ts';
import type { ContractNames } from './names.ts';

export interface StreamChannels {
  /** @returns ends it */
  open(runId: string): () => void;
}

export function createStreamChannels(deps: {
  readonly names: ContractNames;
  readonly subscriber: Redis;
}): StreamChannels {
  const streams = new Map<string, number>();
  return {
    open(runId) {
      const channel = deps.names.events(runId);
      const count = (streams.get(channel) ?? 0) + 1;
      streams.set(channel, count);
      if (count === 1) void deps.subscriber.subscribe(channel).catch(() => undefined);
      let closed = false;
      return () => {
        if (closed) return;
        closed = true;
        const left = (streams.get(channel) ?? 1) - 1;
        if (left > 0) {
          streams.set(channel, left);
          return;
        }
        streams.delete(channel);
        void deps.subscriber.unsubscribe(channel).catch(() => undefined);
      };
    },
  };
}
