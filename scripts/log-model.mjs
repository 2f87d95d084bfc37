/**
 * The log's model (test/property/log) by hand.
 *   node scripts/log-model.mjs [seeds]                     all variants, a table
 *   node scripts/log-model.mjs [seeds] <part of a name>    these variants only ("protocol", "reopenOnce", …)
 *   node scripts/log-model.mjs trace <part of a name>      the shortest failing seed found, step by step
 */
import { tsImport } from 'tsx/esm/api';

const load = (file) => tsImport(`../test/property/log/${file}`, import.meta.url);
const { play } = await load('model.ts');
const { PROTOCOL, controls, spares } = await load('variants.ts');

const [first = '20000', part = ''] = process.argv.slice(2);
const variants = [{ name: 'the protocol', rules: PROTOCOL }, ...controls, ...spares].filter(
  ({ name }) => name.includes(part),
);
const print = (line) => process.stdout.write(`${line}\n`);

if (first === 'trace') {
  for (const { name, rules } of variants) traceShortest(name, rules);
} else {
  const seeds = Number(first);
  print(`${'variant'.padEnd(48)} failing of ${seeds}  first  what fails`);
  for (const { name, rules, firstSeed = 1, checkpoints = true } of variants) {
    let failing = 0;
    let example = '';
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
      const { violation } = play(seed, rules, { checkpoints });
      if (violation === undefined) continue;
      failing += 1;
      example ||= `${String(seed).padStart(6)}  ${violation}`;
    }
    if (rules === PROTOCOL && failing > 0) process.exitCode = 1;
    print(`${name.padEnd(48)} ${String(failing).padStart(10)}  ${example}`);
  }
}

/** Few random actions first, then more: the first failing seed is about as short as they come. */
function traceShortest(name, rules) {
  for (const steps of [6, 8, 10, 12, 15, 18, 22, 26, 30, 40, 60, 100, 160, 250])
    for (let seed = 1; seed <= 40_000; seed++) {
      const { violation } = play(seed, rules, { steps });
      if (violation === undefined) continue;
      print(`${name}: seed ${seed}, ${steps} actions: ${violation}`);
      play(seed, rules, { steps, trace: (line) => print(`  ${line}`) });
      return;
    }
  print(`${name}: no failing seed`);
}
