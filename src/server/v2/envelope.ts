/**
 * A log event as an envelope of protocol v2: one or none, so an envelope's seq is its place in the log. What a v2
 * run wrote is an envelope but for what the log knows, and is completed without being parsed.
 *
 * Of other runs on the thread, readers see what needs no context: values, updates and custom events. They have no
 * lifecycle here, because nothing in their log tells of their end.
 */
import type { LogEvent } from '../../events/event.ts';
import { parseProtocolType } from '../../protocol/event.ts';
import type { Channel, ProtocolEventType } from '../../protocol/event.ts';

const INTERRUPT = '__interrupt__';
const SHARED: readonly Channel[] = ['values', 'updates', 'custom'];

/** @returns undefined when protocol v2 does not show it */
export function protocolTypeOf({ type }: LogEvent): ProtocolEventType | undefined {
  const written = parseProtocolType(type);
  if (written !== undefined) return written;
  const [mode, ...namespace] = type.split('|');
  const channel = SHARED.find((known) => known === mode);
  return channel === undefined ? undefined : { channel, name: undefined, namespace };
}

/**
 * @param type what `protocolTypeOf` says of the event
 * @returns undefined when there is nothing to show after all
 */
export function envelopeOf(
  event: LogEvent,
  type: ProtocolEventType,
  seq: number,
  id: string,
): string | undefined {
  const head = `{"type":"event","event_id":"${id}","seq":${seq},`;
  if (event.type.startsWith('v2:')) return head + event.data.slice(1);
  const shown = paramsOf(event.data, type.channel);
  if (shown === undefined) return undefined;
  const place = `"namespace":${JSON.stringify(type.namespace)},"timestamp":${Date.now()}`;
  return `${head}"method":"${type.channel}","params":{${place},${shown}}}`;
}

function paramsOf(data: string, channel: Channel): string | undefined {
  if (channel === 'custom') return `"data":{"payload":${data}}`;
  const interrupted = data.includes(`"${INTERRUPT}"`);
  if (channel === 'values' && !interrupted) return `"data":${data}`;
  const parsed: unknown = JSON.parse(data);
  if (typeof parsed !== 'object' || parsed === null) return `"data":${data}`;
  const entries = Object.entries(parsed).filter(([key]) => key !== INTERRUPT);
  const [first, ...others] = entries;
  if (first === undefined) return interrupted ? undefined : `"data":${data}`;
  if (channel === 'updates' && others.length === 0)
    return `"node":${JSON.stringify(first[0])},"data":${JSON.stringify(first[1])}`;
  return `"data":${JSON.stringify(Object.fromEntries(entries))}`;
}

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
