/**
 * Events of a protocol v2 run as its v1 streams show them (HTTP.md, 3.7): whoever joins the run over the runs API
 * sees its values, updates, tasks, custom events and interrupts. Messages come in values; the content blocks of
 * v2 have no v1 form.
 */
import type { LogEvent } from '../../events/event.ts';
import { parseProtocolType } from '../../protocol/event.ts';
import type { ProtocolEventData } from '../../protocol/event.ts';

/** @returns the event itself when it is of a stream mode; undefined when v1 has no such thing */
export function asStreamMode(event: LogEvent): LogEvent | undefined {
  const type = parseProtocolType(event.type);
  if (type === undefined) return event;
  const show = (mode: string, data: unknown): LogEvent => ({
    type: [mode, ...type.namespace].join('|'),
    data: JSON.stringify(data),
  });
  switch (type.channel) {
    case 'values':
    case 'tasks':
    case 'checkpoints':
      return show(type.channel, paramsOf(event).data);
    case 'updates': {
      const { node, data } = paramsOf(event);
      return show('updates', node === undefined ? data : { [node]: data });
    }
    case 'custom': {
      const { data } = paramsOf(event);
      return show(
        'custom',
        type.name === undefined ? (data as { payload: unknown }).payload : data,
      );
    }
    case 'input': {
      const { interrupt_id: id, payload: value } = paramsOf(event).data as Record<string, unknown>;
      return show('updates', { __interrupt__: [{ id, value }] });
    }
    case 'messages':
    case 'tools':
    case 'lifecycle':
      return undefined;
  }
}

const paramsOf = ({ data }: LogEvent): ProtocolEventData['params'] =>
  (JSON.parse(data) as ProtocolEventData).params;
