/** docs/http-contract.md tells of tests that are there, for every route. */
import { existsSync, readFileSync } from 'node:fs';
import { NOUNS } from '../../../src/server/openapi/nouns.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

const rows = read('docs/http-contract.md')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| what holds'))
  .filter((line) => !/^\| -+ \|/.test(line));

const referencesOf = (text: string): { file: string; name: string }[] =>
  [...text.matchAll(/`([\w/-]+)` › `([^`]+)`/g)].map(([, file = '', name = '']) => ({
    file: `test/${file}.test.ts`,
    name,
  }));

const references = rows.flatMap(referencesOf);

test('there are rows, and each has a test or says why it differs', () => {
  expect(rows.length).toBeGreaterThan(100);
  const empty = rows.filter((row) => referencesOf(row).length === 0 && !row.includes('differs: '));
  expect(empty).toEqual([]);
});

test('every test that is named is there', () => {
  const missing = references.filter(({ file, name }) => {
    if (!existsSync(new URL(`../../../${file}`, import.meta.url))) return true;
    const source = read(file);
    // The first argument of test, of test.each(…) or of describe, on its line or the next.
    return !["'", '"', '`'].some((quote) =>
      [`(${quote}${name}${quote}`, `  ${quote}${name}${quote},`].some((text) =>
        source.includes(text),
      ),
    );
  });
  expect(missing).toEqual([]);
});

test('every route is driven by a test of e2e/api', () => {
  const routes = NOUNS.flatMap(({ operations }) =>
    operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`),
  );
  const driven = rows.flatMap((row) =>
    row.includes('`e2e/api/')
      ? [...row.matchAll(/`([A-Z]+ \/[^`]*)`/g)].map(([, route = '']) => route)
      : [],
  );
  expect(routes.filter((route) => !driven.includes(route))).toEqual([]);
  expect(driven.filter((route) => !routes.includes(route))).toEqual([]);
});
