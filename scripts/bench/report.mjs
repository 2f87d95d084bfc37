/** What a run of the bench says in the end: a table for each path, notes, what is missed, and where it was measured. */
import { machineText } from './machine.mjs';
import { markdown } from './markdown.mjs';
import { writeMarked } from './marked.mjs';
import { figure, printNotes, printTable } from './table.mjs';

const TITLES = {
  redis: 'Postgres + Redis, one server and one worker process',
  direct: 'the direct path (no Redis)',
};

/** @param result {machine, rows, failures} as measured now, or read from the JSON of an earlier run */
export async function report(result, { say, paint, options }) {
  const { machine, rows } = result;
  for (const path of new Set(rows.map((row) => row.path))) {
    const of = rows.filter((row) => row.path === path);
    say(TITLES[path]);
    printTable(of, paint);
    console.log();
    printNotes(of, paint);
  }
  const judged = rows.filter((row) => row.met !== undefined);
  const missed = judged.filter((row) => !row.met);
  say(`${judged.length - missed.length} of ${judged.length} targets are met`);
  for (const { value, id, path, target } of missed)
    console.log(`  ${path === 'direct' ? 'direct ' : ''}${id}: ${figure(value)}, wanted ${target}`);
  console.log(`\n${machineText(machine)}`);
  if (options.json !== undefined) console.log(`all written to ${options.json}`);
  if (options.markdown !== undefined) {
    for (const file of options.markdown.split(',')) writeMarked(file, markdown(result));
    console.log(`tables written to ${options.markdown}`);
  }
}
