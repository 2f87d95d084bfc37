/** docs/guarantees.md has a row for every scenario, and the tests that it names are there. */
import { claims, testsIn } from '../../../scripts/guarantees.ts';

/** The numbers of the scenarios that the project was planned with. */
const SCENARIOS = [
  ...Array.from({ length: 71 }, (_, i) => String(i + 1)),
  ...['5b', '5c', '5d', '12b', '12c'],
].sort();

test('every scenario has a row, and every row is of a scenario', () => {
  expect([...new Set(claims().flatMap(({ scenarios }) => scenarios))].sort()).toEqual(SCENARIOS);
});

test('a row says what holds, which protection was switched off, and what was seen', () => {
  expect(claims().filter(({ claim, switched }) => claim === '' || switched === '')).toEqual([]);
});

test('every row names a test that is there, with its number in the title', () => {
  expect(claims().filter((claim) => testsIn(claim).length === 0)).toEqual([]);
});

test('a test that carries the number of a scenario stands in one of its rows', () => {
  const named = new Set(claims().flatMap((claim) => testsIn(claim)));
  const files = new Set(claims().flatMap(({ files }) => files));
  const marked = [...files].flatMap((file) => testsIn({ scenarios: SCENARIOS, files: [file] }));
  expect(marked.filter((test) => !named.has(test))).toEqual([]);
});
