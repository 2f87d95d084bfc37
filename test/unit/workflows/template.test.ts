/** Templates, comparisons and secrets: the small parts that all nodes share. */
import fc from 'fast-check';
import { holds } from '../../../src/workflows/compare.ts';
import { createSecrets, renderWithSecrets } from '../../../src/workflows/secrets.ts';
import { renderUrl } from '../../../src/workflows/http-call.ts';
import { at, render, renderText } from '../../../src/workflows/template.ts';
import type { Lookup } from '../../../src/workflows/template.ts';

const values: Record<string, unknown> = {
  name: 'Ada',
  n: 3,
  list: [{ x: 1 }, { x: 2 }],
  braces: '{{name}}',
};
const lookup: Lookup = ({ name, path }) => at(values[name], path);

test('texts, whole values, and JSON around them', () => {
  expect(renderText('Hi {{name}}, {{ n }}!', lookup)).toBe('Hi Ada, 3!');
  expect(render('{{list}}', lookup)).toEqual([{ x: 1 }, { x: 2 }]);
  expect(render({ a: ['{{n}}', '{{list[1].x}} of {{n}}'] }, lookup)).toEqual({ a: [3, '2 of 3'] });
  expect(render('{{list[-1].x}}', lookup)).toBe(2);
  expect(renderText('{{gone}}', lookup)).toBe('');
});

test('what a value contains is no template', () => {
  expect(renderText('{{braces}}', lookup)).toBe('{{name}}');
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(renderText('<{{x}}>', () => text)).toBe(`<${text}>`);
    }),
  );
});

test('values in a URL stay in their place', () => {
  const host: Lookup = () => 'evil.org/#';
  expect(renderUrl('https://api.org/{{x}}?q={{x}}', host)).toBe(
    'https://api.org/evil.org%2F%23?q=evil.org%2F%23',
  );
  expect(renderUrl('{{x}}/path', () => 'https://base.org')).toBe('https://base.org/path');
});

test('a value in a URL leads to no other path', () => {
  const url = (template: string, x: string) => (): string => renderUrl(template, () => x);
  expect(url('https://api.org/users/{{x}}/posts', '..')).toThrow(
    'url: expected a name for {{x}}, found ".."',
  );
  expect(url('https://api.org/users/{{x}}?q=1', '.')).toThrow('found "."');
  expect(url('https://api.org/users/.{{x}}', '.')).toThrow('found ".."');
  expect(url('https://api.org/users/%2e{{x}}', '.')).toThrow('found "%2e."');
  expect(url('https://api.org/../v{{x}}/?q={{x}}', '..')()).toBe('https://api.org/../v../?q=..');
});

test.each([
  [3, 'gt', '2', true],
  ['9007199254740993', 'eq', '9007199254740992', false],
  ['9007199254740993', 'gt', '9007199254740992', true],
  ['9007199254740993', 'in', ['9007199254740992'], false],
  [['9007199254740992'], 'contains', '9007199254740993', false],
  ['10000000000000000000', 'gt', '9', true],
  ['1e3', 'eq', '1000', false],
  ['0x10', 'eq', '16', false],
  ['Infinity', 'eq', 'Infinity', true],
  ['1.50', 'eq', '1.5', true],
  ['-1.5', 'lt', '-1.25', true],
  ['-0.5', 'lt', '0', true],
  [1e21, 'gt', '5', true],
  ['1e3', 'eq', 1000, true],
  ['10', 'gt', '9', true],
  ['b', 'gt', 'a', true],
  [3, 'gt', 'word', false],
  [3, 'ne', 'word', true],
  ['3', 'eq', 3, true],
  [null, 'eq', 0, false],
  ['', 'eq', 0, false],
  [true, 'eq', 'true', true],
  ['hello', 'contains', 'ell', true],
  [[1, 2], 'contains', '2', true],
  ['b', 'in', ['a', 'b'], true],
  [undefined, 'exists', undefined, false],
  [[], 'exists', undefined, false],
  [0, 'exists', undefined, true],
  ['abc', 'starts_with', 'ab', true],
] as const)('%j %s %j is %s', (left, operator, right, expected) => {
  expect(holds(left, operator, right)).toBe(expected);
});

describe('secrets', () => {
  const secrets = createSecrets({ KEY: 'sk-12345', LONG: 'sk-12345-and-more', PIN: '42' });

  test('are put in by name', () => {
    expect(renderWithSecrets('Bearer {{secret.KEY}} {{name}}', lookup, secrets)).toBe(
      'Bearer sk-12345 Ada',
    );
  });

  test('a missing one is told by its variable', () => {
    expect(() => secrets.get('OTHER')).toThrow('WORKFLOW_SECRET_OTHER');
    expect(() => secrets.get('constructor')).toThrow('WORKFLOW_SECRET_constructor');
  });

  test('are hidden wherever they come out again, the longer one whole', () => {
    expect(secrets.scrub({ a: ['x sk-12345-and-more y'], 'sk-12345': 42 })).toEqual({
      a: ['x *** y'],
      '***': 42,
    });
  });
});
