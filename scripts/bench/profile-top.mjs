/**
 * Reads CPU profiles as text: where a process spent its own time, by package and by function.
 *   node scripts/bench/profile-top.mjs [--top 15] [--markdown] FILE.cpuprofile…
 * Self time: a function's own, without what it calls. Idle time is left out, shares are of what is left; V8 samples the wall
 * clock, so on a busy machine what a system call waits for the CPU counts as its. For a flame graph open the file in Chrome's
 * DevTools (Performance) or in speedscope, which read it as it is.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    top: { type: 'string', default: '15' },
    markdown: { type: 'boolean', default: false },
  },
});
if (files.length === 0) {
  console.error('expected one or more .cpuprofile files (npm run bench -- --profile DIR)');
  process.exit(1);
}
const TOP = Number(options.top);

/** Who a function belongs to: a package, a folder of ours, Node's own JavaScript, or the engine. */
function ownerOf({ url, functionName }) {
  if (functionName === '(garbage collector)') return 'V8: garbage collection';
  if (functionName === '(program)') return 'V8 and native code outside JavaScript';
  const packages = [...url.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)];
  if (packages.length > 0) return packages.at(-1)[1];
  if (url.startsWith('node:')) return `Node: ${url.slice(5)}`;
  const own = /\/dist\/([^/]+)(?:\/|$)/.exec(url)?.[1];
  if (own !== undefined) return `ours: ${own.replace(/\.js$/, '')}`;
  if (url.includes('/scripts/bench/')) return "the bench's graphs";
  return url === '' ? 'native functions called by JavaScript' : url;
}

const placeOf = ({ url, functionName, lineNumber }) => {
  const file = url.split('/').slice(-2).join('/');
  return `${functionName || '(anonymous)'}${url === '' ? '' : ` ${file}:${lineNumber + 1}`}`;
};

function read(file) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'));
  const frames = new Map(nodes.map((node) => [node.id, node.callFrame]));
  const byOwner = new Map();
  const byPlace = new Map();
  let busyUs = 0;
  let idleUs = 0;
  samples.forEach((id, i) => {
    const us = Math.max(0, timeDeltas[i]);
    const frame = frames.get(id);
    if (frame.functionName === '(idle)') {
      idleUs += us;
      return;
    }
    busyUs += us;
    const owner = ownerOf(frame);
    byOwner.set(owner, (byOwner.get(owner) ?? 0) + us);
    const place = `${placeOf(frame)}  [${owner}]`;
    byPlace.set(place, (byPlace.get(place) ?? 0) + us);
  });
  const shares = (map) =>
    [...map]
      .sort((a, b) => b[1] - a[1])
      .slice(0, TOP)
      .map(([name, us]) => [name, us / busyUs]);
  return { busyUs, idleUs, owners: shares(byOwner), places: shares(byPlace) };
}

const percent = (share) => `${(share * 100).toFixed(1)} %`;
for (const file of files) {
  const { busyUs, idleUs, owners, places } = read(file);
  const title = `${basename(file, '.cpuprofile')}: ${(busyUs / 1e6).toFixed(2)} s busy, ${(idleUs / 1e6).toFixed(2)} s idle`;
  if (options.markdown) {
    const rows = Array.from({ length: Math.max(owners.length, places.length) }, (_, i) => {
      const cells = [owners[i], places[i]].flatMap((one) =>
        one === undefined ? ['', ''] : [percent(one[1]), one[0].replaceAll('|', '\\|')],
      );
      return `| ${cells.join(' | ')} |`;
    });
    console.log(`${title}\n\n| self | by owner | self | by function |`);
    console.log(`| ---: | --- | ---: | --- |\n${rows.join('\n')}\n`);
    continue;
  }
  console.log(`\n${title}`);
  for (const [name, list] of Object.entries({ 'by owner': owners, 'by function': places })) {
    console.log(`  ${name}`);
    for (const [what, share] of list) console.log(`    ${percent(share).padStart(7)}  ${what}`);
  }
}
