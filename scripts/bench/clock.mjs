/** Time and figures. */

/** Monotonic and the same in all processes of a machine, in µs. */
export const nowUs = () => Number(process.hrtime.bigint()) / 1_000;
export const sinceMs = (startUs) => (nowUs() - startUs) / 1_000;

/** @returns the q-quantile (0…1) of numbers in any order */
export function quantile(values, q) {
  if (values.length === 0) throw new Error('no values to take a quantile of');
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

export const median = (values) => {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/**
 * Runs each of `works` (name → async () → {figure: number}) `rounds` times, taking turns, so that what else the
 * machine does hits all of them alike.
 * @param more whether there is time for one more round; the first is always done
 * @returns name → {figure: median, …, all: [per round]}
 */
export async function alternate(rounds, works, more = () => true) {
  const results = Object.fromEntries(Object.keys(works).map((name) => [name, []]));
  for (let round = 0; round < rounds && (round === 0 || more()); round++)
    for (const [name, work] of Object.entries(works)) results[name].push(await work(round));
  return Object.fromEntries(
    Object.entries(results).map(([name, all]) => {
      const figures = Object.keys(all[0]);
      return [
        name,
        { ...Object.fromEntries(figures.map((f) => [f, median(all.map((r) => r[f]))])), all },
      ];
    }),
  );
}
