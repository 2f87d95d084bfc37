/** Plain clients of protocol v2: an SSE stream, a WebSocket, commands. */
import { WebSocket } from 'ws';
import { openSseClient } from './sse-client.ts';
import type { SseClient } from './sse-client.ts';
import { waitUntil } from './wait-until.ts';

export interface Envelope {
  type: 'event';
  event_id?: string;
  seq?: number;
  method: string;
  params: { namespace: string[]; timestamp: number; node?: string; data: Record<string, unknown> };
}

export const ALL_CHANNELS = [
  'values',
  'updates',
  'messages',
  'tools',
  'lifecycle',
  'input',
  'checkpoints',
  'tasks',
  'custom',
];

export interface EventStream extends SseClient {
  readonly events: Envelope[];
}

export async function openEvents(
  url: string,
  threadId: string,
  body: object = { channels: ALL_CHANNELS },
  headers: Record<string, string> = {},
): Promise<EventStream> {
  const stream = await openSseClient(`${url}/threads/${threadId}/stream/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  return Object.defineProperty(stream, 'events', {
    get: () => stream.frames.map((frame) => frame.data as Envelope),
  }) as EventStream;
}

export interface Answer {
  type: 'success' | 'error';
  id: number | null;
  result?: Record<string, unknown>;
  error?: string;
  message?: string;
  meta?: Record<string, unknown>;
}

let commandId = 0;

export async function command(
  url: string,
  threadId: string,
  method: string,
  params?: unknown,
): Promise<Answer & { status: number }> {
  const response = await fetch(`${url}/threads/${threadId}/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: ++commandId, method, ...(params === undefined ? {} : { params }) }),
  });
  const text = await response.text();
  const answer = response.ok
    ? (JSON.parse(text) as Answer)
    : { type: 'error' as const, id: null, message: text };
  return { status: response.status, ...answer };
}

export interface SocketClient {
  readonly ws: WebSocket;
  /** Everything that came, in order. */
  readonly messages: (Envelope | Answer)[];
  readonly events: Envelope[];
  readonly closed: boolean;
  send(method: string, params?: unknown): Promise<Answer>;
}

export async function openSocket(
  url: string,
  threadId: string,
  headers: Record<string, string> = {},
): Promise<SocketClient> {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/threads/${threadId}/stream/events`, {
    headers,
  });
  const messages: (Envelope | Answer)[] = [];
  let closed = false;
  ws.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString()) as Answer));
  ws.on('close', () => (closed = true));
  await new Promise((resolve, reject) => {
    ws.once('open', resolve);
    ws.once('error', reject);
  });
  // A server that is killed breaks the connection: that is what `closed` is for.
  ws.on('error', () => undefined);
  return {
    ws,
    messages,
    get closed() {
      return closed;
    },
    get events() {
      return messages.filter((message): message is Envelope => message.type === 'event');
    },
    send(method, params) {
      const id = ++commandId;
      ws.send(JSON.stringify({ id, method, ...(params === undefined ? {} : { params }) }));
      return waitUntil(
        () => messages.find((message): message is Answer => 'id' in message && message.id === id),
        { timeoutMs: 30_000, what: `answer to ${method}` },
      );
    },
  };
}

/** The root's lifecycle, as far as it came. */
export const rootStates = (events: readonly Envelope[]): unknown[] =>
  events
    .filter(({ method, params }) => method === 'lifecycle' && params.namespace.length === 0)
    .map(({ params }) => params.data['event']);

const TERMINAL: unknown[] = ['completed', 'failed', 'interrupted'];

/** Waits until the root has ended so many times. */
export async function ended(
  source: { readonly events: readonly Envelope[] },
  times = 1,
): Promise<Envelope[]> {
  await waitUntil(
    () => rootStates(source.events).filter((state) => TERMINAL.includes(state)).length >= times,
    { timeoutMs: 30_000, what: `${times} ends` },
  );
  return [...source.events];
}

/** One word per event: its method, and what happened in it. */
export const words = (events: readonly Envelope[]): string[] =>
  events.map(({ method, params: { data } }) =>
    typeof data['event'] === 'string' ? `${method} ${data['event']}` : method,
  );
