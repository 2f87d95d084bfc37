import { createConnection } from 'node:net';
import { errorChain, errorSummary, errorText } from '../../../src/telemetry/error-chain.ts';

test('names every cause, outermost first', () => {
  const inner = Object.assign(new TypeError('not a number'), { code: '22P02' });
  const outer = new Error('row is bad', { cause: inner });
  expect(errorSummary(outer)).toBe('Error: row is bad ← TypeError [22P02]: not a number');
  expect(errorText(outer)).toMatch(
    /^Error: row is bad\n {4}at [^]*\ncaused by TypeError \[22P02\]/,
  );
});

test('a chain that contains itself ends', () => {
  const one = new Error('one');
  const two = new Error('two', { cause: one });
  one.cause = two;
  expect(errorSummary(two)).toBe('Error: two ← Error: one');
});

test('a very long chain is cut', () => {
  let error = new Error('0');
  for (let i = 1; i < 1_000; i++) error = new Error(String(i), { cause: error });
  expect(errorChain(error)).toHaveLength(10);
});

test('shows the errors of an AggregateError', () => {
  const error = new AggregateError([new Error('v6'), new Error('v4')], 'all failed');
  expect(errorSummary(error)).toBe('AggregateError: all failed ← Error: v6 ← Error: v4');
});

test.each([
  ['text', 'Thrown: text'],
  [undefined, 'Thrown: undefined'],
  [{ status: 500 }, 'Thrown: {"status":500}'],
  [12n, 'Thrown: [object BigInt]'],
])('takes anything that is thrown: %p', (thrown, summary) => {
  expect(errorSummary(thrown)).toBe(summary);
});

test("errors of Node's core are errors, whatever realm they come from", async () => {
  const error = await new Promise((resolve) => {
    createConnection({ port: 1, host: '127.0.0.1' }).once('error', resolve);
  });
  expect(errorChain(error)[0]).toMatchObject({ name: 'Error', code: 'ECONNREFUSED' });
});
