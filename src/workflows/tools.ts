/** How a model is told of the calls it may make: as tools, or in words. */
import type { ToolSpec } from '../models/model.ts';

const text = (description: string): object => ({ type: 'string', description });

/** @param peers nodes that it may ask; none: it is not told of ask_node */
export function toolsFor(peers: readonly string[]): ToolSpec[] {
  const ask: ToolSpec = {
    name: 'ask_node',
    description: 'Asks another AI node a question and gives its answer.',
    parameters: parametersOf({
      target: { type: 'string', enum: [...peers] },
      question: text('the question, complete in itself'),
    }),
  };
  const others: ToolSpec[] = [
    {
      name: 'broadcast_message',
      description: 'Tells all nodes that come later something.',
      parameters: parametersOf({ message: text('what to tell') }),
    },
    {
      name: 'set_shared_context',
      description: 'Keeps a value under a key, for all nodes that come later.',
      parameters: parametersOf({ key: text('its name'), value: text('the value') }),
    },
    {
      name: 'get_shared_context',
      description: 'Gives the value that a node before has kept under a key.',
      parameters: parametersOf({ key: text('its name') }),
    },
  ];
  // Alone there is nobody to talk to.
  return peers.length === 0 ? [] : [ask, ...others];
}

const parametersOf = (properties: Record<string, object>): Record<string, unknown> => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
});

export function textInstructions(peers: readonly string[]): string {
  const ask =
    peers.length === 0
      ? []
      : [`CALL: ask_node('<node>', '<question>') asks one of these nodes: ${peers.join(', ')}`];
  return [
    'You can write these calls, each on a line of its own; you then get their results:',
    ...ask,
    `CALL: broadcast_message('<message>') tells all nodes something`,
    `CALL: set_shared_context('<key>', '<value>') keeps a value`,
    `CALL: get_shared_context('<key>') gives a kept value`,
    'Without calls your text is your result.',
  ].join('\n');
}
