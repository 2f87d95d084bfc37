/** What a reader of protocol v2 asked for. Decided by an event's type alone (protocol/event.ts). */
import { CHANNELS } from './event.ts';
import type { ProtocolEventType } from './event.ts';

export interface Filter {
  /** Channels; `custom:<name>` takes the custom events of that name, `custom` all of them. */
  readonly channels: readonly string[];
  /** Prefixes; none: every namespace. */
  readonly namespaces?: readonly (readonly string[])[] | undefined;
  /** How far below the prefix. */
  readonly depth?: number | undefined;
}

export const isChannel = (name: string): boolean =>
  CHANNELS.some((channel) => channel === name) || /^custom:./.test(name);

export function matches(filter: Filter, event: ProtocolEventType): boolean {
  const { channels, namespaces, depth } = filter;
  const wanted =
    channels.includes(event.channel) ||
    (event.name !== undefined && channels.includes(`custom:${event.name}`));
  if (!wanted) return false;
  if (namespaces === undefined || namespaces.length === 0) return true;
  return namespaces.some(
    (prefix) =>
      startsWith(event.namespace, prefix) &&
      (depth === undefined || event.namespace.length - prefix.length <= depth),
  );
}

/** A segment of the prefix without `:<id>` takes every instance of that node. */
function startsWith(namespace: readonly string[], prefix: readonly string[]): boolean {
  return (
    prefix.length <= namespace.length &&
    prefix.every((wanted, i) => {
      const segment = namespace[i] ?? '';
      return segment === wanted || (!wanted.includes(':') && nodeOf(segment) === wanted);
    })
  );
}

export function nodeOf(segment: string): string {
  const colon = segment.indexOf(':');
  return colon === -1 ? segment : segment.slice(0, colon);
}
