/** A user's client: it goes and comes back with its last id, and keeps what each connection got. */
import type { Session } from './checker.ts';
import { openSse } from './event-client.ts';
import type { SseClient, SseClientOptions, SseEvent } from './event-client.ts';

export interface Visitor {
  /** Its connections in order, for the checker. */
  readonly sessions: readonly Session[];
  /** The latest connection. */
  readonly now: SseClient;
  /** The last id that it has of any connection. */
  lastId(): string | undefined;
  cut(): void;
  /** Ends the connection if it is still there, and opens the next. @param url another server's stream */
  comeBack(url?: string): void;
}

/**
 * @param had events that it got earlier, in another life: it begins after the last of them
 * @param first how it comes the first time, when not to join
 */
export function openVisitor(
  url: string,
  had: readonly SseEvent[] = [],
  first: SseClientOptions = {},
): Visitor {
  const before: Session[] = had.length === 0 ? [] : [{ events: had, ended: false }];
  const connections: { after: string | undefined; client: SseClient }[] = [];
  const lastId = (): string | undefined =>
    connections.findLast(({ client }) => client.lastId() !== undefined)?.client.lastId() ??
    had.at(-1)?.id;

  function open(at: string, options: SseClientOptions = {}): SseClient {
    const after = lastId();
    const client = openSse(at, { ...options, lastEventId: after });
    connections.push({ after, client });
    return client;
  }
  let now = open(url, first);
  return {
    get sessions() {
      return [
        ...before,
        ...connections.map(({ after, client }) => ({
          after,
          events: client.events,
          ended: client.ended,
        })),
      ];
    },
    get now() {
      return now;
    },
    lastId,
    cut: () => {
      now.cut();
    },
    comeBack(at = url) {
      now.cut();
      now = open(at);
    },
  };
}
