/** Calls in the texts that models write, who do not escape as programmers do. */
import fc from 'fast-check';
import { CALLS_MAX, parseCalls } from '../../../src/workflows/calls.ts';

const first = (text: string): Readonly<Record<string, unknown>> | undefined =>
  parseCalls(text).calls[0]?.arguments;

const escaped = (text: string, quote: string): string =>
  quote + text.replaceAll('\\', '\\\\').replaceAll(quote, `\\${quote}`) + quote;

describe('calls as models write them', () => {
  test.each([
    [`CALL: ask_node('teacher', 'What is it?')`, 'What is it?'],
    [`CALL: ask_node("teacher", "What's it?")`, `What's it?`],
    [`CALL: ask_node('teacher', 'What\\'s it?')`, `What's it?`],
    [`CALL: ask_node('teacher', 'What's Newton's law?')`, `What's Newton's law?`],
    [`CALL: ask_node('teacher', 'Is f(x) = (a, b) right?')`, 'Is f(x) = (a, b) right?'],
    [`CALL:ask_node( 'teacher' ,\n 'two\nlines' )`, 'two\nlines'],
    [`CALL: ask_node(target='teacher', question='named')`, 'named'],
    [`CALL: ask_node(“teacher”, “typeset’s quotes”)`, 'typeset’s quotes'],
    [`I wonder. CALL: ask_node('teacher', 'in the middle') Let me see.`, 'in the middle'],
    [`CALL: ask_node('teacher', 'say "hi", please')`, 'say "hi", please'],
    [`CALL: ask_node('teacher', 'a\\nb')`, 'a\nb'],
  ])('%s', (text, question) => {
    expect(first(text)).toEqual({ target: 'teacher', question });
    expect(parseCalls(text).bad).toEqual([]);
  });

  test('values that are no text', () => {
    expect(first(`CALL: set_shared_context('n', 1.5)`)).toEqual({ key: 'n', value: 1.5 });
    expect(first(`CALL: set_shared_context('n', True)`)).toEqual({ key: 'n', value: true });
    expect(first(`CALL: set_shared_context('n', {"a": ["it's"]})`)).toEqual({
      key: 'n',
      value: { a: ["it's"] },
    });
    expect(first(`CALL: broadcast_message('hi', ['ai-processor'])`)).toEqual({
      message: 'hi',
      target_types: ['ai-processor'],
    });
    expect(first(`CALL: get_shared_context('n')`)).toEqual({ key: 'n' });
  });

  test('several calls, each with its place', () => {
    const text = `a CALL: get_shared_context('x') b CALL: get_shared_context('y') c`;
    const { calls } = parseCalls(text);
    expect(calls.map(({ start, end }) => text.slice(start, end))).toEqual([
      `CALL: get_shared_context('x')`,
      `CALL: get_shared_context('y')`,
    ]);
  });

  test.each([
    [`CALL: ask_node('teacher')`, 'expected ask_node'],
    [`CALL: ask_node('teacher', 'no end`, 'expected ask_node'],
    [`CALL: ask_node(teacher, why)`, 'expected ask_node'],
    [`CALL: delete_all('x')`, 'there is no delete_all'],
    [`CALL: ask_node('a', 1, 2, 3)`, 'expected ask_node'],
    [`CALL: ask_node('a', 1, question=2)`, 'expected ask_node'],
  ])('%s is refused', (text, reason) => {
    const { calls, bad } = parseCalls(text);
    expect(calls).toEqual([]);
    expect(bad[0]?.reason).toContain(reason);
  });

  test('a text that speaks of calls makes none', () => {
    expect(parseCalls('You may CALL: me at ten. ask_node(x)')).toEqual({ calls: [], bad: [] });
  });
});

test('property: whatever a text contains, written with escapes it comes back', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.string(),
      fc.constantFrom(`'`, `"`),
      fc.string().filter((text) => !text.includes('CALL')),
      (target, question, quote, around) => {
        const text = `${around} CALL: ask_node(${escaped(target, quote)}, ${escaped(question, quote)})${around}`;
        const { calls } = parseCalls(text);
        expect(calls).toHaveLength(1);
        expect(calls[0]?.arguments).toEqual({ target, question });
        expect(text.slice(0, calls[0]?.start)).toBe(`${around} `);
        expect(text.slice(calls[0]?.end)).toBe(around);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('property: apostrophes need no escape where no comma or bracket follows them', () => {
  const words = fc.array(
    fc.constantFrom(
      `it's`,
      `don't`,
      `'quoted' words`,
      'plain',
      '(in brackets)',
      'a, b',
      `''`,
      `o'clock`,
    ),
    { minLength: 1, maxLength: 12 },
  );
  fc.assert(
    fc.property(words, (list) => {
      const question = list.join(' ').concat(' end');
      fc.pre(!/'\s*[,)]/.test(question));
      expect(first(`CALL: ask_node('teacher', '${question}')`)).toEqual({
        target: 'teacher',
        question,
      });
    }),
    { numRuns: 1_000 },
  );
});

test('property: no text makes it throw, hang, or find calls that overlap', () => {
  const piece = fc.oneof(
    fc.constantFrom('CALL:', ' ask_node', '(', ')', ',', `'`, `"`, '\\', '[', ']', '{', '}', ' '),
    fc.string({ maxLength: 5 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
      const { calls } = parseCalls(pieces.join(''));
      for (const [i, { start, end }] of calls.entries()) {
        expect(end).toBeGreaterThan(start);
        expect(start).toBeGreaterThanOrEqual(calls[i - 1]?.end ?? 0);
      }
    }),
    { numRuns: 1_000 },
  );
});

test('a text made to be slow is given up', () => {
  const started = performance.now();
  parseCalls(`CALL: ask_node('${`', '`.repeat(20_000)}`);
  parseCalls(`CALL: ask_node('a', '${`',`.repeat(20_000)}`.repeat(3));
  parseCalls(`CALL: ask_node('`.repeat(20) + `',[`.repeat(16_000));
  expect(performance.now() - started).toBeLessThan(2_000);
});

test('of too many calls the rest is refused', () => {
  const { calls, bad } = parseCalls(`CALL: get_shared_context('x') `.repeat(CALLS_MAX + 5));
  expect(calls).toHaveLength(CALLS_MAX);
  expect(bad[0]?.reason).toContain(String(CALLS_MAX));
});
