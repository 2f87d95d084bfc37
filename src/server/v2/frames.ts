/**
 * Events of a whole thread as SSE bytes. A batch is encoded once for all clients that see it the same way.
 */
import type { LogBatch, LogEvent } from '../../events/event.ts';
import { methodOf } from '../../protocol/event.ts';
import { matches } from '../../protocol/filter.ts';
import type { Filter } from '../../protocol/filter.ts';
import { frameText } from '../frames.ts';
import { envelopeOf, protocolTypeOf, rewindEnvelope } from './envelope.ts';

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
      const type = protocolTypeOf(event);
      if (type === undefined || !matches(filter, type)) return undefined;
      const text = envelopeOf(event, type, seq, id);
      return text === undefined ? undefined : frameText(methodOf(type.channel), text, id);
    },
    rewind: (id) => frameText('lifecycle', rewindEnvelope(id), id),
  };
}
