/** Adds this jest run's counts to the file that scripts/test.mjs sums up. Silent without it. */
import { appendFileSync } from 'node:fs';

export default class CountReporter {
  onRunComplete(_contexts, results) {
    const file = process.env.TEST_COUNTS_FILE;
    if (file === undefined) return;
    const counts = {
      passed: results.numPassedTests,
      // A file that could not even be loaded has no tests, but did not pass.
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
      skipped: results.numPendingTests + results.numTodoTests,
    };
    appendFileSync(file, `${JSON.stringify(counts)}\n`);
  }
}
