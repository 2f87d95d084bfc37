/** Errors of the network on the way to Postgres: each means "later", whatever the machine calls it. */
import { isTransient, wasAway } from '../../../src/postgres/pool.ts';

const withCode = (code: string): Error => Object.assign(new Error(code), { code });

test.each([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL'],
])('%s may be tried again', (code) => {
  expect(isTransient(withCode(code))).toBe(true);
  expect(wasAway(withCode(code))).toBe(true);
});

test('of several errors all must be of the network: a graph’s own failures come together, too', () => {
  const [never, later] = [withCode('EACCES'), withCode('ECONNREFUSED')];
  // Node gives the whole the code of its first.
  const of = (...errors: Error[]): Error =>
    Object.assign(new AggregateError(errors), { code: 'EACCES' });
  expect(isTransient(of(later, later))).toBe(true);
  expect(isTransient(of(never, later))).toBe(false);
  expect(isTransient(of())).toBe(false);
  expect(isTransient(of(never, never))).toBe(false);
  expect(isTransient(Object.assign(new Error('not a list'), { errors: later }))).toBe(false);
});
