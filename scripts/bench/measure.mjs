/**
 * The frame of all cases on one path: what they ask with, their share of the time, and their rows.
 *
 * The whole run has a deadline. A case that is slow on this machine takes fewer rounds than asked for, at least one, and
 * its rows say so: a table that never comes helps nobody.
 */
import { createBook } from './account.mjs';
import { alternate, nowUs } from './clock.mjs';
import { INSPECT, createProfiler } from './profiler.mjs';
import { startRaw } from './raw-processes.mjs';
import { figure } from './table.mjs';
import { judge } from './targets.mjs';

/** How much more than its even share of the time that is left a case may take. */
const SHARE = 2;

/**
 * @param session {stack, options, rounds, deadlineUs, rows, failures, say, paint, save(), interrupted()}
 * @param casesLeft cases after this path's, for the shares
 */
export async function measure(session, path, wanted, postgres, redis, casesLeft) {
  const { stack, options, rows, failures, say, paint } = session;
  const nodeArgs = options.profile === undefined ? {} : { server: INSPECT, worker: INSPECT };
  const profile = options.profile === undefined ? undefined : createProfiler(options.profile, path);
  const millrace = await stack.startMillrace(postgres, redis, path, nodeArgs);
  const raw = await startRaw(stack, path, wanted, postgres, redis);
  const all = (cpu) => Object.values(cpu).reduce((sum, n) => sum + n, 0);
  const ours = createBook(() => {
    const cpu = millrace.cpu();
    return { cpu, all: all(cpu) + raw.own(), memory: millrace.memory() };
  });
  const theirs = createBook(() => {
    const cpu = raw.cpu();
    const { server, worker } = millrace.cpu();
    return { cpu, all: all(cpu) + server + worker, memory: raw.memory() };
  });
  let shareUs = Infinity;
  let caseUs = 0;
  let fewest;
  const bench = {
    path,
    quick: options.quick,
    rounds: session.rounds,
    pick: (quick, full) => (options.quick ? quick : full),
    folder: stack.folder,
    stack: millrace,
    client: millrace.client,
    raw: raw.processes,
    rawDb: raw.db,
    rawName: raw.name,
    /** As `alternate` (clock.mjs), at most `rounds` times and as often as the case's time allows. */
    async alternate(works, { rounds = session.rounds } = {}) {
      const result = await alternate(
        rounds,
        works,
        () => nowUs() - caseUs < shareUs && !session.interrupted(),
      );
      const taken = Object.values(result)[0].all.length;
      if (taken < rounds) fewest = Math.min(fewest ?? taken, taken);
      return result;
    },
    /** Does `work`, and notes the CPU time it took, in µs a unit by process, for the row that names `id`. */
    cpu: (id, units, work) =>
      profile === undefined
        ? ours.account(id, units, work)
        : profile(id, [millrace.server, millrace.worker], () => ours.account(id, units, work)),
    /** What `cpu` has noted under `id`. */
    costOf: (id) => ours.of(id),
    /** The same for the baseline: the raw processes and the stores. */
    cpuRaw: (id, units, work) => theirs.account(id, units, work),
    row(row) {
      const { text, met } = judge(row.id, path, row.value);
      const ratio = row.baseline === undefined ? undefined : row.value / row.baseline.value;
      const cpu = ours.of(row.cpu);
      rows.push({
        ...row,
        path,
        ratio,
        target: text,
        met: row.met ?? met,
        cpu,
        rawCpu: theirs.of(row.cpu),
        // The rows of one case that has one book entry share it: all were measured in the same work.
        others: (cpu ?? ours.of(row.during))?.others,
        fewerRounds: fewest,
      });
      console.log(
        `  ${row.title}: ${figure(row.value, row.unit)}` +
          (row.baseline === undefined ? '' : `, baseline ${figure(row.baseline.value, row.unit)}`) +
          (text === undefined ? '' : `, target ${text}`),
      );
    },
  };
  for (const [i, one] of wanted.entries()) {
    if (session.interrupted()) break;
    say(`${one.name}${path === 'direct' ? ' (direct path)' : ''}`);
    caseUs = nowUs();
    fewest = undefined;
    shareUs = ((session.deadlineUs - caseUs) / (wanted.length - i + casesLeft)) * SHARE;
    try {
      await one.run(bench);
    } catch (error) {
      if (session.interrupted()) break;
      failures.push(`${one.name} (${path}): ${error.stack ?? error}`);
      console.error(`  ${paint(31, `failed: ${error.message}`)}`);
    }
    session.save();
    const seconds = ((nowUs() - caseUs) / 1e6).toFixed(1);
    console.log(paint(2, `  ${seconds} s${fewest === undefined ? '' : `, ${fewest} round(s)`}`));
  }
  if (session.interrupted()) return;
  await raw.stop();
  await millrace.stop();
}
