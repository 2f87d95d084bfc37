/**
 * What is said at the very end of `npm test`, because often only the end of an output is shown: each failed test, with as
 * much of its message as leaves room for the others.
 */

/** Lines for all messages together. */
const LINES_MAX = 28;
/** Lines of one message that are there in any case: what was expected, what was found. */
const LINES_MIN = 6;
const LINE_LENGTH_MAX = 300;
const COLORS = /\u001b\[[0-9;]*m/g;
/** Frames that say nothing of the test. */
const FOREIGN_FRAME = /^\s+at .*(node_modules|node:internal)/;

/**
 * @param {readonly { test: string, message: string }[]} failures
 * @returns text, empty for none
 */
export function describeFailures(failures) {
  const each = Math.max(LINES_MIN, Math.floor(LINES_MAX / Math.max(failures.length, 1)));
  const messages = failures.map(({ test, message }) => [`✕ ${test}`, ...shortened(message, each)]);
  // When there are too many to be seen with their messages, at least their names are.
  const names = each * failures.length > LINES_MAX ? failures.map(({ test }) => `✕ ${test}`) : [];
  return [...messages.flat(), ...names].join('\n');
}

function shortened(message, count) {
  const lines = message
    .replaceAll(COLORS, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !FOREIGN_FRAME.test(line));
  const shown = lines.slice(0, count).map((line) => `    ${line.slice(0, LINE_LENGTH_MAX)}`);
  return lines.length > count
    ? [...shown, `    (${lines.length - count} lines more above)`]
    : shown;
}
