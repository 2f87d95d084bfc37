/**
 * Hints between processes: something may have changed, look. Never the data itself; every listener
 * also looks by itself now and then, so a lost signal costs time only.
 *
 * Two implementations: NOTIFY for several processes, an emitter for one.
 */
import { EventEmitter } from 'node:events';
import createSubscriber from 'pg-listen';
import type { Db } from './pool.ts';

/** log: a thread has new archived events. ended: a run ended (JSON LogEnd). queue: a run waits. control: a cancel request (run id). webhook: one is due. bus: a message waits for an agent (its id). consumer_group: one was made or has something to do. */
export const SIGNAL_CHANNELS = [
  'log',
  'ended',
  'queue',
  'control',
  'webhook',
  'bus',
  'consumer_group',
] as const;
export type SignalChannel = (typeof SIGNAL_CHANNELS)[number];

export interface Signals {
  /** Never throws and never waits. Equal payloads that wait together are sent once. */
  publish(channel: SignalChannel, payload: string): void;
  on(channel: SignalChannel, listener: (payload: string) => void): void;
  /** Called when signals may have been missed: look at everything. */
  onGap(listener: () => void): void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Postgres refuses a payload of 8,000 bytes and more; ids are far below, anything else is dropped. */
const PAYLOAD_BYTES_MAX = 7_900;
/** Signals that wait while one NOTIFY statement is under way; beyond it the oldest are dropped. */
const WAITING_MAX = 10_000;
const SIGNALS_PER_STATEMENT = 500;
/** How often the LISTEN connection is asked whether it is there, and how long it may take to say so. */
const CHECK_MS = 5_000;
const CHECK_ANSWER_MS = 4_000;

export function createMemorySignals(): Signals {
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  return {
    publish: (channel, payload) => void setImmediate(() => emitter.emit(channel, payload)),
    on: (channel, listener) => void emitter.on(channel, listener),
    onGap: () => undefined,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
}

export interface PostgresSignalsOptions {
  /** A direct connection: LISTEN does not work through a pooler in transaction mode. */
  url: string;
  /** Prefix of the NOTIFY channels, so that deployments may share a database server. */
  prefix: string;
  onError(error: Error): void;
}

/**
 * NOTIFY in statements of its own, never in the transaction of a write: at 64 clients one pg_notify in
 * each transaction cost 70 % of the commit rate, because commits with notifications queue up behind
 * one lock. One statement is under way; what is published meanwhile goes with the next.
 */
export function createPostgresSignals(db: Db, options: PostgresSignalsOptions): Signals {
  const { prefix } = options;
  const waiting = new Set<string>();
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  let sending = false;
  let stopped = false;
  // pg-listen is CommonJS: under nodenext its default export is one level deeper.
  const subscriber = createSubscriber.default<Record<string, string>>(
    {
      connectionString: options.url,
      application_name: 'millrace-listen',
      // A half-open connection answers nothing and says nothing: without these the check waits for ever.
      query_timeout: CHECK_ANSWER_MS,
      connectionTimeoutMillis: CHECK_ANSWER_MS,
    },
    {
      parse: (text): unknown => text,
      serialize: String,
      retryTimeout: Infinity,
      retryInterval: 500,
      paranoidChecking: CHECK_MS,
    },
  );
  subscriber.events.on('error', options.onError);
  subscriber.events.on('connected', () => emitter.emit('gap'));
  subscriber.events.on('notification', ({ channel, payload }) => {
    if (channel.startsWith(`${prefix}_`)) emitter.emit(channel.slice(prefix.length + 1), payload);
  });

  async function send(): Promise<void> {
    if (sending) return;
    sending = true;
    // What is published in the same turn goes together.
    await Promise.resolve();
    while (waiting.size > 0) {
      const batch = [...waiting].slice(0, SIGNALS_PER_STATEMENT);
      for (const entry of batch) waiting.delete(entry);
      const channels = batch.map((entry) => `${prefix}_${entry.slice(0, entry.indexOf(' '))}`);
      const payloads = batch.map((entry) => entry.slice(entry.indexOf(' ') + 1));
      try {
        await db.query({
          name: 'signal',
          text: 'SELECT pg_notify(c, p) FROM unnest($1::text[], $2::text[]) AS s(c, p)',
          values: [channels, payloads],
        });
      } catch (error) {
        options.onError(error instanceof Error ? error : new Error(String(error)));
      }
    }
    sending = false;
  }

  return {
    publish(channel, payload) {
      if (stopped || Buffer.byteLength(payload) > PAYLOAD_BYTES_MAX) return;
      if (waiting.size >= WAITING_MAX) waiting.delete(waiting.values().next().value ?? '');
      waiting.add(`${channel} ${payload}`);
      void send();
    },
    on: (channel, listener) => void emitter.on(channel, listener),
    onGap: (listener) => void emitter.on('gap', listener),
    async start() {
      await subscriber.connect();
      for (const channel of SIGNAL_CHANNELS) await subscriber.listenTo(`${prefix}_${channel}`);
    },
    async stop() {
      stopped = true;
      emitter.removeAllListeners();
      await subscriber.close();
    },
  };
}
