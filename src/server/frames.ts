/**
 * Events as SSE bytes. A batch is encoded once for all clients that see it the same way; with a thousand
 * clients on one run each event costs one encoding and a thousand writes of the same buffer.
 */
import type { LogEvent } from '../events/event.ts';
import { formatEventId } from './event-id.ts';
import { asStreamMode } from './v2/as-stream-mode.ts';

/** A batch becomes several buffers at this size, so that a slow client holds parts of it only. */
const FRAME_BYTES = 256 * 1024;

/** How a client sees events: what it wants, and how they are numbered. */
export interface View {
  /** Clients with the same key share bytes. */
  readonly key: string;
  takes(type: string): boolean;
}

export interface Numbering {
  /** Number of the batch's first event. */
  readonly n: number;
  readonly attempt: number;
}

export const EVERYTHING: View = { key: '', takes: () => true };

/** Events that belong to no mode. */
const ALWAYS = new Set(['metadata', 'error', 'feedback', 'rewind']);

/** @param modes stream modes; `updates|ns` and `messages/partial` belong to their mode */
export function viewOf(modes: readonly string[] | undefined): View {
  if (modes === undefined) return EVERYTHING;
  const wanted = new Set(modes);
  return {
    key: [...wanted].sort().join(' '),
    takes: (type) => ALWAYS.has(type) || wanted.has(modeOf(type)),
  };
}

function modeOf(type: string): string {
  const bar = type.indexOf('|');
  const name = bar === -1 ? type : type.slice(0, bar);
  if (name === 'messages') return 'messages-tuple';
  return name.startsWith('messages/') ? 'messages' : name;
}

// By the array of events: batches that start elsewhere in it are copies with an array of their own.
const encoded = new WeakMap<readonly LogEvent[], Map<string, readonly Buffer[]>>();

/** @returns nothing when the view takes none of the events */
export function encodeFrames(
  events: readonly LogEvent[],
  numbering: Numbering,
  view: View,
): readonly Buffer[] {
  const key = `${numbering.n} ${numbering.attempt} ${view.key}`;
  let views = encoded.get(events);
  const known = views?.get(key);
  if (known !== undefined) return known;
  if (views === undefined) {
    views = new Map<string, readonly Buffer[]>();
    encoded.set(events, views);
  }
  const frames = encode(events, numbering, view);
  views.set(key, frames);
  return frames;
}

function encode(events: readonly LogEvent[], { n, attempt }: Numbering, view: View): Buffer[] {
  const frames: Buffer[] = [];
  let text = '';
  events.forEach((event, index) => {
    const shown = asStreamMode(event);
    if (shown === undefined || !view.takes(shown.type)) return;
    text += frameText(shown.type, shown.data, formatEventId(n + index, attempt));
    if (text.length < FRAME_BYTES) return;
    frames.push(Buffer.from(text));
    text = '';
  });
  if (text !== '') frames.push(Buffer.from(text));
  return frames;
}

/** @param id undefined: nothing that a client could come back to */
export const frameText = (type: string, data: string, id?: string): string =>
  `event: ${type}\ndata: ${data}\n${id === undefined ? '' : `id: ${id}\n`}\n`;
