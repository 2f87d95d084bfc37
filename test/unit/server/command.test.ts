/** LangGraph.js's own Command and Send, as RemoteGraph sends them. */
import { Command, Send } from '@langchain/langgraph';
import { CommandFields, isLibraryCommand } from '../../../src/server/schemas/command.ts';

const wire = (command: Command): unknown => JSON.parse(JSON.stringify(command.toJSON()));

test.each([
  [new Command({ resume: false }), { resume: false }],
  [new Command({ resume: { id: 1 }, update: { a: 1 } }), { resume: { id: 1 }, update: { a: 1 } }],
  [new Command({ goto: 'node' }), { goto: ['node'] }],
  [
    new Command({ goto: ['a', new Send('b', { n: 1 })] }),
    { goto: ['a', { node: 'b', input: { n: 1 } }] },
  ],
])('%j', (command, expected) => {
  expect(isLibraryCommand(wire(command))).toBe(true);
  expect(CommandFields.parse(wire(command))).toMatchObject(expected);
});

test('what the API has no meaning for is refused, not dropped', () => {
  const timed = { lg_name: 'Command', goto: [{ lg_name: 'Send', node: 'a', timeout: 5 }] };
  expect(() => CommandFields.parse(timed)).toThrow('a Send to a server has no timeout of its own');
  const parent = { lg_name: 'Command', graph: '__parent__', goto: 'a' };
  expect(() => CommandFields.parse(parent)).toThrow('graph');
  expect(() => CommandFields.parse({ lg_name: 'Other', resume: 1 })).toThrow('lg_name');
});

test('the form of the API stays as it is', () => {
  const command = { goto: { node: 'a', input: { lg_name: 'Send' } } };
  expect(CommandFields.parse(command)).toEqual(command);
  expect(isLibraryCommand(command)).toBe(false);
});
