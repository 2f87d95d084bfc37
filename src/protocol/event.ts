/**
 * Events of protocol v2 (HTTP.md, 3.10) as they stand in a thread's log: the worker writes each in its final
 * form, one log event for one envelope. Channel and namespace are in the event's type, so that
 * readers can filter without parsing; the data is the envelope without what the log itself knows
 * (`seq`, `event_id`).
 */

/** Distinguishes them from events of stream modes, which never contain a colon before the bar. */
const PREFIX = 'v2:';

export const CHANNELS = [
  'values',
  'updates',
  'messages',
  'tools',
  'lifecycle',
  'input',
  'checkpoints',
  'tasks',
  'custom',
] as const;
export type Channel = (typeof CHANNELS)[number];

export interface ProtocolEventType {
  readonly channel: Channel;
  /** Of a named custom event. */
  readonly name: string | undefined;
  readonly namespace: readonly string[];
}

/** What is stored as the event's data. */
export interface ProtocolEventData {
  readonly method: string;
  readonly params: {
    readonly namespace: readonly string[];
    /** ms since the epoch. */
    readonly timestamp: number;
    readonly node?: string;
    readonly data: unknown;
  };
}

/** The type under which an event is stored, e.g. `v2:values|sub:1`, `v2:custom:progress`. */
export function protocolType(
  channel: Channel,
  namespace: readonly string[],
  name?: string,
): string {
  const named = name === undefined ? channel : `${channel}:${encodeURIComponent(name)}`;
  return [PREFIX + named, ...namespace].join('|');
}

/** @returns undefined for events of stream modes */
export function parseProtocolType(type: string): ProtocolEventType | undefined {
  if (!type.startsWith(PREFIX)) return undefined;
  const [head = '', ...namespace] = type.slice(PREFIX.length).split('|');
  const colon = head.indexOf(':');
  const channel = CHANNELS.find((known) => known === (colon === -1 ? head : head.slice(0, colon)));
  if (channel === undefined) return undefined;
  const name = colon === -1 ? undefined : decodeURIComponent(head.slice(colon + 1));
  return { channel, name, namespace };
}

/** On the wire a channel's events carry its name as `method`, but for `input`. */
export const methodOf = (channel: Channel): string =>
  channel === 'input' ? 'input.requested' : channel;
