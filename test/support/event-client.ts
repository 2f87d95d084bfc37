/** An SSE client that keeps what it got and can be cut off, as a user's would be. */
import { createParser } from 'eventsource-parser';
import { createDeferred } from '../../src/lib/deferred.ts';
import type { Deferred } from '../../src/lib/deferred.ts';
import { waitUntil } from './wait-until.ts';

export interface SseEvent {
  id: string | undefined;
  event: string | undefined;
  data: string;
}

export interface SseClient {
  /** The Last-Event-ID it began with. */
  readonly after: string | undefined;
  readonly events: SseEvent[];
  /** HTTP status once the response has begun. */
  readonly status: number | undefined;
  /** The response ended properly. */
  readonly ended: boolean;
  readonly error: unknown;
  readonly headers: Headers | undefined;
  lastId(): string | undefined;
  /** Waits for a number of events, or for a condition on them. */
  until(
    condition: number | ((events: readonly SseEvent[]) => boolean),
    timeoutMs?: number,
  ): Promise<void>;
  /** Waits for the end of the response. */
  end(timeoutMs?: number): Promise<void>;
  cut(): void;
  /** Takes nothing from its socket until `resume`. */
  pause(): void;
  resume(): void;
  /** When each event came, in ms of `performance.now`. */
  readonly times: readonly number[];
}

export interface SseClientOptions {
  lastEventId?: string | undefined;
  method?: 'GET' | 'POST';
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}

export function openSse(url: string, options: SseClientOptions = {}): SseClient {
  const abort = new AbortController();
  const state = {
    events: [] as SseEvent[],
    status: undefined as number | undefined,
    headers: undefined as Headers | undefined,
    ended: false,
    error: undefined as unknown,
  };
  const times: number[] = [];
  let paused: Deferred<void> | undefined;
  async function run(): Promise<void> {
    const parser = createParser({
      onEvent({ id, event, data }) {
        times.push(performance.now());
        state.events.push({ id, event, data });
      },
    });
    const response = await fetch(url, {
      method: options.method ?? 'GET',
      signal: abort.signal,
      headers: {
        ...options.headers,
        ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    state.status = response.status;
    state.headers = response.headers;
    if (!response.ok || response.body === null)
      throw new Error(`${url}: ${response.status} ${await response.text()}`);
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      parser.feed(chunk);
      await paused?.promise;
    }
    state.ended = true;
  }
  run().catch((error: unknown) => (state.error = error));

  const describe = (): string =>
    `${state.events.length} events, last ${JSON.stringify(state.events.at(-1))}, error ${String(state.error)}`;
  async function wait(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
    await waitUntil(() => condition() || state.ended || state.error !== undefined, {
      timeoutMs,
      what,
    }).catch((cause: unknown) => {
      throw new Error(`${what}: ${describe()}`, { cause });
    });
    if (!condition()) throw new Error(`${what}: ${describe()}`, { cause: state.error });
  }
  return {
    after: options.lastEventId,
    get events() {
      return state.events;
    },
    get status() {
      return state.status;
    },
    get headers() {
      return state.headers;
    },
    get ended() {
      return state.ended;
    },
    get error() {
      return state.error;
    },
    lastId: () => state.events.findLast((event) => event.id !== undefined)?.id,
    until: (condition, timeoutMs = 40_000) =>
      wait(
        () =>
          typeof condition === 'number'
            ? state.events.length >= condition
            : condition(state.events),
        timeoutMs,
        'the stream has what is waited for',
      ),
    end: (timeoutMs = 60_000) => wait(() => state.ended, timeoutMs, 'the stream has ended'),
    cut() {
      abort.abort();
    },
    pause() {
      paused ??= createDeferred();
    },
    resume() {
      paused?.resolve();
      paused = undefined;
    },
    times,
  };
}
