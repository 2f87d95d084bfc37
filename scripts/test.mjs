/**
 * npm test: everything, from a fresh clone. Packages, build, static checks and unit tests, then the
 * tests that need servers; those come from test/support/shared-servers.ts. A failing stage does not
 * hide the next one. At the end: every failed test with its message, the end of what else has failed, and, over all
 * jest runs, the last line `N passed, N failed, N skipped`. `--reports DIR` leaves jest's JSON there, for scripts/guarantees.ts.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve as absolute } from 'node:path';
import { parseArgs } from 'node:util';
import { describeFailures } from './failures.mjs';
import { ROOT, prepare } from './prepare.mjs';

/** Time for an interrupted stage to stop what it started. */
const STOP_MS_MAX = 8_000;
const JEST = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js'];

/** Time for the rest of its output when a stage has ended. */
const DRAIN_MS_MAX = 5_000;

/** Of a failed stage whose failure is no test's: lint, types, a build. */
const TAIL_LINES = 25;

/** Written by test/support/count-reporter.mjs: one line per jest run. */
const COUNTS = join(ROOT, 'node_modules/.test-counts');

const { reports: reportsTo } = parseArgs({ options: { reports: { type: 'string' } } }).values;
const reportsFolder = reportsTo && absolute(reportsTo);
if (reportsFolder) mkdirSync(reportsFolder, { recursive: true });
const startedAt = Date.now();
rmSync(COUNTS, { force: true });
let stage;
let interrupted;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    interrupted ??= signal;
    if (stage === undefined) return;
    endStage('SIGTERM');
    setTimeout(() => endStage('SIGKILL'), STOP_MS_MAX).unref();
  });

const failures = [];
/** The ends of what failed stages wrote, where no list of tests tells why. */
const tails = [];
if (await prepare(run)) {
  await expectZero('Static checks and unit tests', 'npm', ['run', '--silent', 'check']);
  const parallel = ['property', 'conformance', 'integration', 'e2e', 'api'];
  for (const [title, args] of [
    ['Tests: ' + parallel.join(', '), ['--selectProjects', ...parallel]],
    // One at a time: they measure what happens when a machine is in trouble, not when it is busy.
    ['Tests: fault', ['--selectProjects', 'fault', '--runInBand']],
  ])
    await expectZero(title, process.execPath, [
      ...JEST,
      '--passWithNoTests',
      ...args,
      ...reportTo(args[1]),
    ]);
} else failures.push('set-up');

const { passed, failed, skipped } = sumOfCounts();
if (interrupted !== undefined) failures.push(`interrupted by ${interrupted}`);
console.log(`\n${((Date.now() - startedAt) / 1000).toFixed(1)} s in all`);
for (const tail of tails) console.log(`\n${tail}`);
const failedTests = reports().flatMap((report) => report.failures);
if (failedTests.length > 0) console.log(`\n${describeFailures(failedTests)}\n`);
if (failures.length > 0) console.log(`Failed: ${failures.join('; ')}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failures.length > 0 || failed > 0 ? 1 : 0;

function reportTo(name) {
  return reportsFolder ? ['--json', `--outputFile=${join(reportsFolder, name)}.json`] : [];
}

async function expectZero(title, command, args) {
  if (interrupted !== undefined) return;
  const before = failedTestCount();
  const last = [];
  if ((await run(title, command, args, last)) === 0) return;
  failures.push(title);
  if (failedTestCount() === before) tails.push(`The end of "${title}":\n${last.join('\n')}`);
}

/**
 * @param last gets the last lines of its output
 * @returns the exit code; 1 for a signal
 */
function run(title, command, args, last = []) {
  console.log(`\n=== ${title} ===\n`);
  const begun = Date.now();
  return new Promise((resolve) => {
    // A group of its own, so that a signal to this process can end all of the stage.
    stage = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: {
        ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}),
        ...process.env,
        TEST_COUNTS_FILE: COUNTS,
        TEST_PARENT_PID: String(process.pid),
      },
    });
    for (const name of ['stdout', 'stderr'])
      stage[name].setEncoding('utf8').on('data', (text) => {
        process[name].write(text);
        last.push(...text.split('\n').filter((line) => line.trim() !== ''));
        last.splice(0, last.length - TAIL_LINES);
      });
    let over = false;
    const end = (code) => {
      if (over) return;
      over = true;
      stage = undefined;
      console.log(`\n(${title}: ${((Date.now() - begun) / 1000).toFixed(1)} s)`);
      resolve(code);
    };
    stage.once('error', (error) => {
      console.error(`cannot execute ${command}: ${error.message}`);
      end(1);
    });
    stage.once('close', (code) => end(code ?? 1));
    // Who outlives the stage may hold its pipes open.
    stage.once('exit', (code) => setTimeout(end, DRAIN_MS_MAX, code ?? 1).unref());
  });
}

function endStage(signal) {
  try {
    if (stage !== undefined) process.kill(-stage.pid, signal);
  } catch {
    // it has just ended
  }
}

/** One per jest run so far. @returns {{ counts: object, failures: { test: string, message: string }[] }[]} */
function reports() {
  if (!existsSync(COUNTS)) return [];
  return readFileSync(COUNTS, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function failedTestCount() {
  return reports().reduce((sum, { counts }) => sum + counts.failed, 0);
}

function sumOfCounts() {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const { counts } of reports())
    for (const [name, count] of Object.entries(counts)) sum[name] += count;
  return sum;
}
