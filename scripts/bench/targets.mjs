/** What is to be reached (TARGETS.md), by row. `atLeast` or `atMost`, in the row's unit. */
/** "Flat": the last of a series may cost this much more than the first. What the noise of a shared machine leaves. */
const FLAT = { atMost: 1.3 };

export const TARGETS = {
  'create-wait/p50': { atMost: 6, direct: {} },
  'create-wait/p99': { atMost: 20, direct: {} },
  'create-wait-pregel/p50': { atMost: 4 },
  'waits/rate': { atLeast: 600, direct: { atLeast: 400 } },
  'waits-pregel/rate': { atLeast: 1_200, direct: {} },
  'background/drained': { atLeast: 1_000, direct: {} },
  'background-pregel/drained': { atLeast: 2_000 },
  'one-run/2000': { atLeast: 40_000, direct: { atLeast: 30_000 } },
  'one-run/50000': { atLeast: 40_000, direct: { atLeast: 30_000 } },
  'latency/p50': { atMost: 1, direct: { atMost: 2 } },
  'latency/p99': { atMost: 10, direct: {} },
  'many-runs/rate': { atLeast: 40_000, direct: {} },
  'many-runs/p99': { atMost: 100, direct: {} },
  'many-runs/begun': { atMost: 200, direct: {} },
  'fan-out/rate': { atLeast: 300_000 },
  'fan-out/paced-rate': { atLeast: 300_000 },
  'replay/rate': { atLeast: 100_000 },
  'reconnect/ended': { atMost: 5 },
  'reconnect/live': { atMost: 5 },
  'archiver/rate': { atLeast: 60_000 },
  'archiver/lag-p99': { atMost: 250 },
  'mirror/share': { atLeast: 90 },
  'mirror/lag-p99': { atMost: 100 },
  'idle/memory': { atMost: 28 },
  'trips/statements': { atMost: 8, direct: {} },
  'trips/redis': { atMost: 4 },
  'kill/sigkill': { atMost: 10 },
  'kill/sigterm': { atMost: 1 },
  'superstep/none': { atMost: 25 },
  'superstep/postgres': { atMost: 350 },
  'growth/events': FLAT,
  // An answer of a few ms: what is asked is that it is none of the run's length.
  'growth/reconnect': { atMost: 2 },
  'growth/threads': FLAT,
  'growth/backlog': FLAT,
  'growth/clients': FLAT,
  'growth/workers': FLAT,
};

/** @returns {text, met}; both undefined without a target. `met` may be told by the value only */
export function judge(id, path, value) {
  const all = TARGETS[id];
  const target = path === 'direct' && all?.direct !== undefined ? all.direct : all;
  if (target?.atLeast !== undefined)
    return { text: `≥ ${target.atLeast.toLocaleString('en')}`, met: value >= target.atLeast };
  if (target?.atMost !== undefined)
    return { text: `≤ ${target.atMost.toLocaleString('en')}`, met: value <= target.atMost };
  return {};
}
