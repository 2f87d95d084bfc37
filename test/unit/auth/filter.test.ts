/** What handlers answer, as verdicts; and which handler is asked. */
import { handlerFor } from '../../../src/auth/events.ts';
import { visibilityOf } from '../../../src/auth/filter.ts';
import { EVERYTHING } from '../../../src/postgres/visibility.ts';

function thrownBy(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

const of = (answer: unknown): unknown => JSON.parse(visibilityOf(answer).metadata ?? 'null');

test('null, undefined, true and an empty filter show everything', () => {
  for (const answer of [null, undefined, true, {}]) expect(visibilityOf(answer)).toBe(EVERYTHING);
});

test('false is 403', () => {
  expect(thrownBy(() => visibilityOf(false))).toMatchObject({ code: 'auth_refused', status: 403 });
});

test('a filter is one containment', () => {
  expect(of({ owner: 'ada' })).toEqual({ owner: 'ada' });
  expect(of({ owner: { $eq: 'ada' }, readers: { $contains: 'bob' } })).toEqual({
    owner: 'ada',
    readers: ['bob'],
  });
  expect(of({ readers: { $contains: ['ada', 'bob'] }, n: 1, gone: null })).toEqual({
    readers: ['ada', 'bob'],
    n: 1,
    gone: null,
  });
  // The official server takes an empty text for no condition.
  expect(of({ owner: { $eq: '' } })).toEqual({ owner: '' });
});

test.each([
  [{ owner: undefined }],
  [{ owner: { $eq: undefined } }],
  [{ owner: {} }],
  [{ owner: { $ne: 'ada' } }],
  [{ owner: { $eq: 'ada', $contains: 'ada' } }],
  [{ owner: ['ada'] }],
  [{ owner: { $contains: [['ada']] } }],
  [{ owner: NaN }],
  [{ owner: 'a\0' }],
  [{ 'a\ud800': 'ada' }],
  [{ $or: [{ owner: 'ada' }] }],
  [[]],
  [new Map([['owner', 'ada']])],
  [new Date(0)],
  ['ada'],
  [0],
  [''],
])('%j is not understood, and shows nothing', (answer) => {
  expect(thrownBy(() => visibilityOf(answer))).toMatchObject({ code: 'auth_failed' });
});

test('the most particular handler decides, alone', () => {
  const all = { 'threads:read': 1, threads: 2, '*:read': 3, '*': 4 };
  expect(handlerFor(all, 'threads:read')).toBe(1);
  expect(handlerFor(all, 'threads:update')).toBe(2);
  expect(handlerFor(all, 'assistants:read')).toBe(3);
  expect(handlerFor(all, 'store:put')).toBe(4);
  expect(handlerFor({ threads: 2 }, 'store:put')).toBeUndefined();
});
