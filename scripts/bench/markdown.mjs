/** The same as Markdown: the table of README, and the CPU and memory tables of docs/performance.md. */
import { OTHERS_MAX, cpuSum } from './account.mjs';
import { machineText } from './machine.mjs';
import { cellsOf, COLUMNS, figure } from './table.mjs';

/** Aligned as prettier would, so that pasting it changes nothing else. */
export function table(columns, lines) {
  const widths = columns.map((name, i) =>
    Math.max(3, name.length, ...lines.map((cells) => cells[i].length)),
  );
  const line = (cells) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  const rule = widths.map((width, i) =>
    i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(columns), `| ${rule.join(' | ')} |`, ...lines.map(line)].join('\n');
}

const titled = (row) => `${row.path === 'direct' ? 'direct: ' : ''}${row.title}`;
const PROCESSES = ['server', 'worker', 'redis', 'postgres'];

function costs(rows) {
  const of = rows.filter((row) => row.cpu !== undefined);
  if (of.length === 0) return [];
  const lines = of.map((row) => {
    const raw = row.rawCpu === undefined ? undefined : cpuSum(row.rawCpu);
    const sum = cpuSum(row.cpu);
    return [
      titled(row),
      figure(sum),
      ...PROCESSES.map((name) => figure(row.cpu.us[name] / row.cpu.units)),
      raw === undefined ? '' : figure(raw),
      raw === undefined ? '' : `${(sum / raw).toFixed(1)}×`,
      PROCESSES.map((name) => Math.round(row.cpu.memory[name] / 1024 ** 2)).join(' / '),
    ];
  });
  return [
    '',
    'CPU µs a unit (run or event), and memory at the end:',
    '',
    table(
      ['work', 'sum', ...PROCESSES, "baseline's sum", 'times', `MiB: ${PROCESSES.join(' / ')}`],
      lines,
    ),
  ];
}

function series(rows) {
  return rows
    .filter((row) => row.series !== undefined)
    .flatMap((row) => {
      const columns = [...new Set(row.series.flatMap((point) => Object.keys(point)))];
      return [
        '',
        `${titled(row)} (last / first ${row.value.toFixed(2)}, from ${figure(row.from)} on):`,
        '',
        table(
          columns,
          row.series.map((point) => columns.map((name) => figure(point[name] ?? undefined))),
        ),
      ];
    });
}

/**
 * @param result {machine, rows, failures}
 * @returns {bench: the table of rows with what was measured where, "bench costs": CPU, memory and series}
 */
export function markdown({ machine, rows, failures }) {
  const few = rows.filter((row) => row.fewerRounds !== undefined);
  const worst = Math.max(0, ...rows.map((row) => row.others ?? 0));
  const notes = [
    worst > OTHERS_MAX &&
      `**The machine was not quiet**: others took up to ${figure(worst * 100)} % of it (last column). Only ratios to the baseline of the same run say something.`,
    few.length > 0 &&
      `Fewer rounds, for want of time: ${few.map((row) => `${row.id} ${row.fewerRounds}`).join(', ')}.`,
    failures.length > 0 && `FAILED: ${failures.map((f) => f.split('\n')[0]).join('; ')}`,
  ].filter(Boolean);
  return {
    bench: [
      `Measured ${machineText(machine)}.`,
      '',
      table(
        COLUMNS,
        rows.map((row) => [titled(row), ...cellsOf(row).slice(1)]),
      ),
      ...notes.flatMap((note) => ['', note]),
      '',
    ].join('\n'),
    'bench costs': [...costs(rows).slice(1), ...series(rows), ''].join('\n'),
  };
}
