/**
 * Events of a whole thread as bytes: protocol v2's envelopes, and, for GET /threads/:id/stream, the events as the
 * runs' own streams show them. A stored event is an envelope without what the log knows; it is completed, not
 * parsed. One log event is one envelope or none, so an envelope's seq is its place in the log.
 */
import type { LogBatch, LogEvent } from '../../events/event.ts';
import { methodOf, parseProtocolType } from '../../protocol/event.ts';
import { matches } from '../../protocol/filter.ts';
import type { Filter } from '../../protocol/filter.ts';
import { frameText } from '../frames.ts';

/** A batch becomes several buffers at this size, so that a slow client holds parts of it only. */
const FRAME_BYTES = 256 * 1024;

/** Clients with the same key share bytes. */
export interface ThreadView {
  readonly key: string;
  /** One SSE frame; undefined: nothing of it is shown. */
  frame(event: LogEvent, seq: number, id: string): string | undefined;
  /** The frame that tells a client that what it has after `id` was lost. */
  rewind(id: string): string;
}

const encoded = new WeakMap<readonly LogEvent[], Map<string, readonly Buffer[]>>();

/** @param suffix of the batch's event ids (event-ids.ts) */
export function encodeThreadFrames(
  { events, first }: LogBatch,
  suffix: string,
  view: ThreadView,
): readonly Buffer[] {
  const key = `${first} ${suffix} ${view.key}`;
  let known = encoded.get(events);
  if (known === undefined) encoded.set(events, (known = new Map<string, readonly Buffer[]>()));
  let frames = known.get(key);
  if (frames === undefined) known.set(key, (frames = encode(events, first, suffix, view)));
  return frames;
}

function encode(
  events: readonly LogEvent[],
  first: number,
  suffix: string,
  view: ThreadView,
): Buffer[] {
  const frames: Buffer[] = [];
  let text = '';
  events.forEach((event, i) => {
    text += view.frame(event, first + i, `${first + i}${suffix}`) ?? '';
    if (text.length < FRAME_BYTES) return;
    frames.push(Buffer.from(text));
    text = '';
  });
  if (text !== '') frames.push(Buffer.from(text));
  return frames;
}

export function protocolView(filter: Filter): ThreadView {
  return {
    key: JSON.stringify(['v2', filter]),
    frame(event, seq, id) {
      const type = parseProtocolType(event.type);
      if (type === undefined || !matches(filter, type)) return undefined;
      return frameText(methodOf(type.channel), envelope(event, seq, id), id);
    },
    rewind: (id) => frameText('lifecycle', rewindEnvelope(id), id),
  };
}

/** @param event whose type `parseProtocolType` knows */
export const envelope = ({ data }: LogEvent, seq: number, id: string): string =>
  `{"type":"event","event_id":"${id}","seq":${seq},${data.slice(1)}`;

/**
 * Events after `to` that the client has were lost with the worker and the Redis that held them, and the
 * run was taken up again from before them. Clients that do not know `rewind` see what is true, too: the run
 * is running. It is no event of the log, so it has no id of its own.
 */
export const rewindEnvelope = (to: string): string =>
  JSON.stringify({
    type: 'event',
    method: 'lifecycle',
    params: {
      namespace: [],
      timestamp: Date.now(),
      data: { event: 'running', rewind: { to } },
    },
  });
