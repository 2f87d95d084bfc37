/**
 * docs/guarantees.md: its rows, and what became of their tests the last time.
 *
 *   npm test -- --reports DIR
 *   node --import tsx scripts/guarantees.ts DIR/*.json
 *
 * writes the section "Last results" of the document from one or more jest reports: of each row the tests that
 * were in them. A report says when it began; the commit is that of the tree, which should be clean.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const DOCUMENT = join(ROOT, 'docs/guarantees.md');
const BEGIN = '<!-- last results: written by scripts/guarantees.ts -->';
const END = '<!-- end of last results -->';

export interface Claim {
  readonly scenarios: readonly string[];
  readonly claim: string;
  /** Of test/; their tests carry the scenario's number in the title: `[17] …`. */
  readonly files: readonly string[];
  /** The protection that was switched off. */
  readonly switched: string;
}

/** What is used of `jest --json`. */
interface Report {
  readonly startTime: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly Assertion[];
  }[];
}

interface Assertion {
  readonly title: string;
  readonly fullName: string;
  readonly ancestorTitles: readonly string[];
  readonly status: string;
  readonly duration?: number | null;
}

/** The rows of the table. */
export function claims(): Claim[] {
  // The results have numbered rows, too.
  const [text = ''] = readFileSync(DOCUMENT, 'utf8').split(BEGIN);
  return text
    .split('\n')
    .filter((line) => /^\| \d+[a-z]?[ ,]/.test(line))
    .map((line) => {
      const [, scenarios = '', claim = '', tests = '', switched = ''] = line
        .split(/(?<!\\)\|/)
        .map((text) => text.trim());
      return { scenarios: scenarios.split(', '), claim, files: filesIn(tests), switched };
    });
}

/** `fan-out`, `integration/crons/fire`; several with commas. */
const filesIn = (cell: string): string[] =>
  cell.split(', ').map((name) => `test/${name.includes('/') ? name : `fault/${name}`}.test.ts`);

/** Titles in the text of the row's test files. @returns `file › title` */
export function testsIn({ scenarios, files }: Pick<Claim, 'scenarios' | 'files'>): string[] {
  return files.flatMap((file) => {
    if (!existsSync(join(ROOT, file))) return [];
    const text = readFileSync(join(ROOT, file), 'utf8');
    // The first argument of test, of test.each(…) or of describe, on its line or the next.
    return [...text.matchAll(/(?:\(|\n {2,})(['"`])([^\n]+?)\1,/g)]
      .map(([, , title = '']) => title)
      .filter((title) => isOf(title, scenarios))
      .map((title) => `${file} › ${title}`);
  });
}

const isOf = (title: string, scenarios: readonly string[]): boolean =>
  scenarios.some((scenario) => title.includes(`[${scenario}]`));

interface Row {
  readonly file: string;
  readonly result: Assertion;
  readonly scenarios: Set<string>;
}

/** The section, from jest's reports. */
function lastResults(reports: readonly Report[], commit: string): string {
  const results = reports.flatMap((report) =>
    report.testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map((result) => ({ result, file: relative(ROOT, name) })),
    ),
  );
  const rows = new Map<string, Row>();
  for (const { scenarios, files } of claims())
    for (const { file, result } of results) {
      if (!files.includes(file)) continue;
      if (![result.title, ...result.ancestorTitles].some((title) => isOf(title, scenarios)))
        continue;
      const key = `${file} ${result.fullName}`;
      const row = rows.get(key) ?? { file, result, scenarios: new Set() };
      for (const scenario of scenarios) row.scenarios.add(scenario);
      rows.set(key, row);
    }
  const all = [...rows.values()].sort((a, b) => firstOf(a) - firstOf(b));
  const count = (status: string): number =>
    all.filter(({ result }) => result.status === status).length;
  const [passed, failed] = [count('passed'), count('failed')];
  const days = reports.map(({ startTime }) => new Date(startTime).toISOString().slice(0, 10));
  return [
    `${[...new Set(days)].sort().join(', ')}, commit ${commit}: ${passed} passed, ${failed} failed, ${all.length - passed - failed} skipped.`,
    '',
    '| scenario | file | test | result | s |',
    '| -- | -- | -- | -- | -- |',
    ...all.map(lineOf),
  ].join('\n');
}

const firstOf = (row: Row): number => Number.parseInt([...row.scenarios][0] ?? '', 10);

function lineOf({ file, result, scenarios }: Row): string {
  const name = file.replace(/^test\/|\.test\.ts$/g, '');
  const title = result.fullName.replaceAll('|', '\\|');
  const seconds = ((result.duration ?? 0) / 1_000).toFixed(1);
  return `| ${[...scenarios].join(', ')} | ${name} | ${title} | ${result.status} | ${seconds} |`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = process.argv.slice(2);
  if (files.length === 0) throw new Error('expected reports of jest: --json --outputFile=…');
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { cwd: ROOT });
  const reports = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Report);
  const text = readFileSync(DOCUMENT, 'utf8');
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before === -1 || after < before) throw new Error(`${DOCUMENT}: expected ${BEGIN} and ${END}`);
  const section = lastResults(reports, commit.toString().trim());
  writeFileSync(
    DOCUMENT,
    `${text.slice(0, before + BEGIN.length)}\n\n${section}\n\n${text.slice(after)}`,
  );
  execFileSync('npx', ['prettier', '--write', DOCUMENT], { cwd: ROOT, stdio: 'ignore' });
}
