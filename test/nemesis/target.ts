/** A LangGraph-compatible deployment as its clients see it: requests that are repeated, streams that are resumed. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from '../support/checker.ts';
import { openSse } from '../support/event-client.ts';
import type { SseClient, SseEvent } from '../support/event-client.ts';
import type { Random } from '../property/log/random.ts';
import type { Journal } from './journal.ts';

export interface Target {
  /** Servers that a client may ask now. */
  urls(): readonly string[];
  /** Whether a POST that may have been lost can be sent again under its `Idempotency-Key`. */
  readonly idempotent: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

/** How long a client tries again before it calls that a violation. */
const PATIENCE_MS = 90_000;
/** A request that takes longer hangs. */
const ANSWER_MS = 20_000;
const RETRY_MS = 100;
/** 5xx that a client may be told for a while: no server, no store, no room left in it. */
const PASSING = [502, 503, 504, 507];

/** Connections on which a client takes nothing for a while, and for how long. */
const SLOW_SHARE = 0.1;
const SLOW_MS_MAX = 3_000;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface Client {
  /**
   * @param key Idempotency-Key; a request without one that may have been executed is not sent again
   * @param limitMs for waits, which may take their time
   * @returns undefined when nobody can say what became of it
   */
  call(
    method: string,
    path: string,
    body?: unknown,
    options?: { key?: string; of?: string; limitMs?: number },
  ): Promise<Answer | undefined>;
  /**
   * Follows a stream to its end, over any number of connections.
   * @param cuts after so many events of a connection the client goes, and comes back
   * @returns undefined when the run is gone (404)
   */
  follow(
    path: string,
    of: string,
    cuts: readonly number[],
    random: Random,
  ): Promise<Session[] | undefined>;
  /** Everything a finished run's stream has. */
  replay(path: string, of: string, random: Random): Promise<readonly SseEvent[] | undefined>;
  readonly figures: { requests: number; retries: number; connections: number };
}

async function dawdle(stream: SseClient, forMs: number): Promise<void> {
  stream.pause();
  await delay(forMs);
  stream.resume();
}

export function createClient(target: Target, journal: Journal, random: Random): Client {
  const figures = { requests: 0, retries: 0, connections: 0 };
  const pickUrl = (from: Random): string => from.pick(target.urls()) ?? '';

  async function once(
    method: string,
    path: string,
    body: unknown,
    key: string | undefined,
    limitMs: number,
  ): Promise<Answer | 'refused' | 'lost' | 'hung'> {
    figures.requests++;
    const signal = AbortSignal.timeout(limitMs);
    try {
      const response = await fetch(pickUrl(random) + path, {
        method,
        signal,
        headers: {
          ...target.headers,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === undefined ? {} : { 'idempotency-key': key }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      let parsed: unknown = text;
      try {
        parsed = JSON.parse(text);
      } catch {
        // Errors are plain text.
      }
      return { status: response.status, body: parsed };
    } catch (error) {
      if (signal.aborted) return 'hung';
      const cause = error instanceof Error ? (error.cause as { code?: string } | undefined) : error;
      return (cause as { code?: string } | undefined)?.code === 'ECONNREFUSED' ? 'refused' : 'lost';
    }
  }

  const client: Client = {
    figures,
    async call(method, path, body, { key, of, limitMs = ANSWER_MS } = {}) {
      const deadline = Date.now() + PATIENCE_MS;
      for (;;) {
        const answer = await once(method, path, body, target.idempotent ? key : undefined, limitMs);
        if (answer === 'hung') {
          journal.violation(`${method} ${path}: no answer within ${limitMs} ms`, of);
          return undefined;
        }
        if (typeof answer !== 'string' && answer.status < 500) return answer;
        if (typeof answer !== 'string' && !PASSING.includes(answer.status))
          journal.violation(
            `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`,
            of,
          );
        const safe = method === 'GET' || answer === 'refused' || (target.idempotent && key);
        if (!safe) return undefined;
        if (Date.now() > deadline) {
          journal.violation(`${method} ${path}: in vain for ${PATIENCE_MS} ms`, of);
          return undefined;
        }
        figures.retries++;
        await delay(RETRY_MS);
      }
    },

    async follow(path, of, cuts, own) {
      const deadline = Date.now() + PATIENCE_MS;
      const sessions: Session[] = [];
      let after: string | undefined;
      for (let n = 0; ; n++) {
        figures.connections++;
        const stream = openSse(pickUrl(own) + path, {
          // From the start: -1 says so everywhere, no id at all does with Millrace.
          lastEventId: after ?? (target.idempotent && own.chance(0.5) ? undefined : '-1'),
          headers: target.headers,
        });
        const cutAt = cuts[n] ?? Number.POSITIVE_INFINITY;
        if (own.chance(SLOW_SHARE)) void dawdle(stream, own.below(SLOW_MS_MAX));
        while (!stream.ended && stream.error === undefined && stream.events.length < cutAt) {
          if (Date.now() > deadline) break;
          await delay(10);
        }
        const { ended, status } = stream;
        if (!ended) stream.cut();
        const refused = status !== undefined && status !== 200;
        if (refused && status === 404) return undefined;
        if (refused && status !== 503) {
          journal.violation(`GET ${path} after ${after}: ${String(stream.error)}`, of);
          return undefined;
        }
        // What a broken connection still brought counts: the client has it.
        if (!refused) sessions.push({ after, events: [...stream.events], ended });
        if (ended) return sessions;
        if (Date.now() > deadline) {
          journal.violation(`GET ${path} after ${after}: no end in ${PATIENCE_MS} ms`, of);
          return undefined;
        }
        after = stream.lastId() ?? after;
        await delay(stream.error === undefined ? own.below(150) : RETRY_MS);
      }
    },

    async replay(path, of, own) {
      for (let tries = 0; tries < 200; tries++) {
        const sessions = await client.follow(path, of, [], own);
        if (sessions === undefined) return undefined;
        if (sessions.length === 1) return sessions[0]?.events;
      }
      journal.violation(`GET ${path}: never whole in one connection`, of);
      return undefined;
    },
  };
  return client;
}
