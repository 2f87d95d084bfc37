/** What a superstep costs on our Pregel, beside LangGraph.js and, in Postgres, beside the commit it waits for. */

/** Rounds before the first that counts: in a worker both runtimes are warm. */
const WARM_UP_ROUNDS = 2;
const CONTESTS = [
  { id: 'none', title: 'no checkpointer', share: 1 },
  { id: 'memory', title: 'checkpoints in memory', share: 1 / 4 },
  { id: 'postgres', title: 'checkpoints in Postgres, sync', share: 1 / 10 },
];

async function run(bench) {
  const steps = bench.pick(2_000, 8_000);
  for (const { id, title, share } of CONTESTS) {
    const message = { kind: 'contest', kept: id, steps: Math.round(steps * share) };
    for (let i = 0; i < WARM_UP_ROUNDS; i++) await bench.raw.superstep.ask(message);
    const key = `superstep-${id}`;
    // The process plays the contenders in turns by itself.
    const { round } = await bench.alternate({
      round: () => bench.cpu(key, message.steps, () => bench.raw.superstep.ask(message)),
    });
    bench.row({
      id: `superstep/${id}`,
      title: `superstep of our Pregel, ${title}`,
      unit: 'µs',
      value: round.ours,
      baseline:
        round.floor === undefined
          ? { name: 'LangGraph.js', value: round.theirs }
          : { name: 'INSERT of 700 bytes, committed', value: round.floor },
      during: key,
      note: round.floor === undefined ? undefined : `LangGraph.js ${round.theirs.toFixed(0)} µs`,
    });
  }
}

export const superstep = { name: 'superstep', paths: ['redis'], raw: ['superstep'], run };
