/** The end of `npm test`'s output, which is often all that is shown of it. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MODULE = fileURLToPath(new URL('../../../scripts/failures.mjs', import.meta.url));

/** As scripts/test.mjs gets it: plain JavaScript, in a process of its own. */
function describeFailures(failures: readonly { test: string; message: string }[]): string[] {
  const script = `import { describeFailures } from ${JSON.stringify(MODULE)};
    console.log(describeFailures(JSON.parse(process.argv[1])))`;
  const args = ['--input-type=module', '-e', script, JSON.stringify(failures)];
  return execFileSync(process.execPath, args, { encoding: 'utf8' }).trim().split('\n');
}

const message = [
  '\u001b[31mError: expect(received).toBe(expected)\u001b[39m',
  '',
  'Expected: 1',
  'Received: 2',
  '    at callTest (/x/node_modules/jest-circus/build/run.js:1:1)',
  '    at Object.<anonymous> (/x/test/a.test.ts:3:4)',
].join('\n');

test('a failed test is named, with what was expected and what was found, without colours and the frames of others', () => {
  expect(describeFailures([{ test: 'a.test.ts: adds', message }])).toEqual([
    '✕ a.test.ts: adds',
    '    Error: expect(received).toBe(expected)',
    '    Expected: 1',
    '    Received: 2',
    '        at Object.<anonymous> (/x/test/a.test.ts:3:4)',
  ]);
});

test('a long message leaves room for the rest', () => {
  const long = Array.from({ length: 500 }, (_, n) => `line ${n}`).join('\n');
  const lines = describeFailures([{ test: 'a.test.ts: long', message: long }]);
  expect(lines.length).toBeLessThan(35);
  expect(lines.at(-1)).toContain('472 lines more above');
});

test('of very many all names are in the last lines', () => {
  const many = Array.from({ length: 30 }, (_, n) => ({ test: `a.test.ts: number ${n}`, message }));
  expect(describeFailures(many).slice(-30)).toEqual(many.map(({ test: name }) => `✕ ${name}`));
});
