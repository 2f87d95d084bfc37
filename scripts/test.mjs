/**
 * npm test: everything, from a fresh clone. Packages, build, static checks and unit tests, then the
 * tests that need servers; those come from test/support/shared-servers.ts. A failing stage does not
 * hide the next one. Last line: `N passed, N failed, N skipped`, over all jest runs.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, prepare } from './prepare.mjs';

/** Time for an interrupted stage to stop what it started. */
const STOP_MS_MAX = 8_000;
const JEST = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js'];

/** Written by test/support/count-reporter.mjs: one line per jest run. */
const COUNTS = join(ROOT, 'node_modules/.test-counts');

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
if (await prepare(run)) {
  await expectZero('Static checks and unit tests', 'npm', ['run', '--silent', 'check']);
  const parallel = ['property', 'conformance', 'integration', 'e2e', 'api'];
  for (const [title, args] of [
    ['Tests: ' + parallel.join(', '), ['--selectProjects', ...parallel]],
    // One at a time: they measure what happens when a machine is in trouble, not when it is busy.
    ['Tests: fault', ['--selectProjects', 'fault', '--runInBand']],
  ])
    await expectZero(title, process.execPath, [...JEST, '--passWithNoTests', ...args]);
} else failures.push('set-up');

const { passed, failed, skipped } = sumOfCounts();
if (interrupted !== undefined) failures.push(`interrupted by ${interrupted}`);
console.log(`\n${((Date.now() - startedAt) / 1000).toFixed(1)} s in all`);
if (failures.length > 0) console.log(`Failed: ${failures.join('; ')}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failures.length > 0 || failed > 0 ? 1 : 0;

async function expectZero(title, command, args) {
  if (interrupted === undefined && (await run(title, command, args)) !== 0) failures.push(title);
}

/** @returns the exit code; 1 for a signal */
function run(title, command, args) {
  console.log(`\n=== ${title} ===\n`);
  const begun = Date.now();
  return new Promise((resolve) => {
    // A group of its own, so that a signal to this process can end all of the stage.
    stage = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
      env: { ...process.env, TEST_COUNTS_FILE: COUNTS, TEST_PARENT_PID: String(process.pid) },
    });
    const end = (code) => {
      stage = undefined;
      console.log(`\n(${title}: ${((Date.now() - begun) / 1000).toFixed(1)} s)`);
      resolve(code);
    };
    stage.once('error', (error) => {
      console.error(`cannot execute ${command}: ${error.message}`);
      end(1);
    });
    stage.once('exit', (code) => end(code ?? 1));
  });
}

function endStage(signal) {
  try {
    if (stage !== undefined) process.kill(-stage.pid, signal);
  } catch {
    // it has just ended
  }
}

function sumOfCounts() {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  if (existsSync(COUNTS))
    for (const line of readFileSync(COUNTS, 'utf8').trim().split('\n'))
      for (const [name, count] of Object.entries(JSON.parse(line))) sum[name] += count;
  return sum;
}
