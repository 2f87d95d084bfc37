/**
 * Adds this jest run's counts, and what its failed tests said, to the file that scripts/test.mjs sums up. And sees to it
 * that a run with failures ends: what a failed test has left open keeps Node alive for ever.
 */
import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';

/** Time for jest to stop what all tests share. */
const EXIT_AFTER_MS = 90_000;

export default class CountReporter {
  onRunComplete(_contexts, results) {
    // A file that could not even be loaded has no tests, but did not pass.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    if (failed > 0) setTimeout(() => process.exit(1), EXIT_AFTER_MS).unref();
    const file = process.env.TEST_COUNTS_FILE;
    if (file === undefined) return;
    const line = {
      counts: {
        passed: results.numPassedTests,
        failed,
        skipped: results.numPendingTests + results.numTodoTests,
      },
      failures: results.testResults.flatMap(failuresOf),
    };
    appendFileSync(file, `${JSON.stringify(line)}\n`);
  }
}

/** @returns {{ test: string, message: string }[]} */
function failuresOf({ testFilePath, testResults, failureMessage }) {
  const file = relative(process.cwd(), testFilePath);
  const failed = testResults.filter(({ status }) => status === 'failed');
  if (failed.length === 0)
    return failureMessage ? [{ test: `${file}: not executed`, message: failureMessage }] : [];
  return failed.map(({ fullName, failureMessages }) => ({
    test: `${file}: ${fullName}`,
    message: failureMessages.join('\n'),
  }));
}
