import { AIMessage, HumanMessage } from '@langchain/core/messages';
import { EventInvalidError } from '../../../src/lib/event-invalid.ts';
import { encodeData, toPlain } from '../../../src/graphs/serialise.ts';

test('messages are flat at any depth, and what looks like one from another copy too', () => {
  const foreign = { toDict: () => ({ type: 'human', data: { content: 'x', id: '1' } }) };
  const data = { messages: [new HumanMessage({ content: 'hi', id: 'h' })], deep: [{ foreign }] };
  expect(toPlain(data)).toEqual({
    messages: [
      { type: 'human', content: 'hi', id: 'h', additional_kwargs: {}, response_metadata: {} },
    ],
    deep: [{ foreign: { type: 'human', content: 'x', id: '1' } }],
  });
  expect(toPlain(new AIMessage('yes'))).toMatchObject({
    type: 'ai',
    content: 'yes',
    tool_calls: [],
  });
});

test('anything JSON takes comes out as JSON.stringify writes it', () => {
  const data = { a: [1, null, 'x'], when: new Date(0), drop: undefined, fn: () => 1, n: NaN };
  expect(encodeData(data)).toBe(JSON.stringify(data));
  expect(encodeData('a\u0000\ud800\n')).toBe('"a\\u0000\\ud800\\n"');
  expect(encodeData(undefined)).toBe('null');
});

test.each([0, 1, 5, 60, 62, 63, 64, 65, 200])(
  'a message is found behind %d plain values, on whatever side of the quick look it lies',
  (count) => {
    const message = new HumanMessage({ content: 'hi', id: 'h' });
    const flat = {
      type: 'human',
      content: 'hi',
      id: 'h',
      additional_kwargs: {},
      response_metadata: {},
    };
    const plain = Array.from({ length: count }, (_, i) => i);
    expect(toPlain([...plain, message])).toEqual([...plain, flat]);
    expect(toPlain({ plain, last: { message } })).toEqual({ plain, last: { message: flat } });
    const made = { plain, last: { toJSON: () => ({ list: [message] }) } };
    expect(toPlain(made)).toEqual({ plain, last: { list: [flat] } });
  },
);

const cyclic: { list: unknown[] } = { list: [] };
cyclic.list.push({ back: cyclic });
const shared = { fine: true };
const unreadable = {
  get field(): never {
    throw new Error('no');
  },
};

test.each([
  [{ a: { b: [0, 1n] } }, '"a.b.1" is a BigInt'],
  [1n, 'the data is a BigInt'],
  [cyclic, '"list.0.back" refers to an object that contains it'],
  [{ ok: [shared, shared], bad: unreadable }, '"bad" is refused: no'],
  [
    { tool: new AIMessage({ content: 'x', additional_kwargs: { n: 1n } }) },
    '"tool.additional_kwargs.n" is a BigInt',
  ],
])('what JSON refuses is named: %#', (data, text) => {
  expect(() => encodeData(data)).toThrow(EventInvalidError);
  expect(() => encodeData(data)).toThrow(text);
});
