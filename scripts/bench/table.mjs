/** Rows as text: what was measured, its limit, how far it is, and what it should be. */
import { cpuSum, OTHERS_MAX } from './account.mjs';

const NUMBER = new Intl.NumberFormat('en');

export function figure(value, unit = '') {
  if (value === undefined || Number.isNaN(value)) return '—';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = NUMBER.format(Number(value.toFixed(digits)));
  return unit === '' ? text : `${text} ${unit}`;
}

/** Of the baseline for rates, times the baseline for times. */
function ratioText({ baseline, ratio }) {
  if (baseline === undefined) return '';
  return ratio >= 10 ? `${ratio.toFixed(0)}×` : `${ratio.toFixed(2)}×`;
}

const VERDICT = { true: 'yes', false: 'NO', undefined: '' };
export const COLUMNS = ['row', 'measured', 'baseline', 'ratio', 'target', 'met', 'others'];

/** The share of the machine that went elsewhere, when it was more than a little. */
const othersText = ({ others }) =>
  others === undefined ? '' : others > OTHERS_MAX ? `${(others * 100).toFixed(0)} %` : 'quiet';

export const cellsOf = (row) => [
  row.title,
  figure(row.value, row.unit),
  row.baseline === undefined ? '' : figure(row.baseline.value, row.unit),
  ratioText(row),
  row.target ?? '',
  VERDICT[row.met],
  othersText(row),
];

/** @param paint (code, text) → text */
export function printTable(rows, paint) {
  const lines = rows.map(cellsOf);
  const widths = COLUMNS.map((name, i) =>
    Math.max(name.length, ...lines.map((cells) => cells[i].length)),
  );
  const line = (cells) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ');
  console.log(paint(1, line(COLUMNS)));
  rows.forEach((row, i) => {
    const text = line(lines[i]);
    console.log(row.met === false ? paint(33, text) : text);
  });
}

/** What a baseline is, where CPU went, and the parts of counted rows. */
export function printNotes(rows, paint) {
  for (const row of rows) {
    const notes = [
      row.baseline && `baseline: ${row.baseline.name}`,
      row.note,
      row.cpu && `CPU µs a unit: ${cpuText(row.cpu)}`,
      row.rawCpu && `baseline: ${cpuText(row.rawCpu)}`,
      row.cpu && `MiB: ${memoryText(row.cpu)}`,
      row.fewerRounds && `${row.fewerRounds} round(s) only, for want of time`,
    ].filter(Boolean);
    if (notes.length === 0 && row.detail === undefined && row.series === undefined) continue;
    console.log(`${paint(2, row.id)}  ${notes.join('; ')}`);
    for (const [name, n] of row.detail ?? [])
      console.log(`    ${n.toFixed(2).padStart(7)}  ${name}`);
    for (const point of row.series ?? [])
      console.log(
        `    ${Object.entries(point)
          .map(([name, n]) => `${name} ${figure(n)}`)
          .join(', ')}`,
      );
  }
}

/** The load generator is not what is measured, so the sum is without it. */
function cpuText(cost) {
  const parts = Object.entries(cost.us).filter(([, n]) => n > 0);
  return `${figure(cpuSum(cost))} (${parts.map(([name, n]) => `${name} ${figure(n / cost.units)}`).join(', ')})`;
}

const memoryText = ({ memory }) =>
  Object.entries(memory)
    .map(([name, bytes]) => `${name} ${Math.round(bytes / 1024 ** 2)}`)
    .join(', ');
