/** Is a cost the same at every size? Judged robustly, because single rounds on a shared machine are not to be trusted. */
import { median } from '../clock.mjs';

/**
 * @param rounds one list a round, with the cost at each size
 * @returns {costs: median at each size, ratio: last / first, exponent: e of cost ~ size^e, by Theil and Sen}
 * The ratio is the median of the rounds' own ratios: first and last of a round met the same neighbours.
 */
export function flatness(sizes, rounds) {
  if (sizes.length < 2 || rounds.length === 0) throw new Error('a series has two sizes or more');
  const costs = sizes.map((_, i) => median(rounds.map((round) => round[i])));
  const ratio = median(rounds.map((round) => round.at(-1) / round[0]));
  const slopes = [];
  for (let i = 0; i < sizes.length; i++)
    for (let j = i + 1; j < sizes.length; j++)
      slopes.push(Math.log(costs[j] / costs[i]) / Math.log(sizes[j] / sizes[i]));
  return { costs, ratio, exponent: median(slopes) };
}

/** The sizes of a series, round by round. @returns [{at: size → what `at` measured}] */
export async function rounds(bench, sizes, at, wanted = Math.min(bench.rounds, 3)) {
  const works = Object.fromEntries(
    sizes.map((size) => [`${size}`, async (round) => ({ cost: await at(size, round) })]),
  );
  const results = await bench.alternate(works, { rounds: wanted });
  const taken = results[`${sizes[0]}`].all.length;
  return Array.from({ length: taken }, (_, round) =>
    sizes.map((size) => results[`${size}`].all[round].cost),
  );
}

/** Prints a series as a row: its value is how many times dearer the last is than the first of those that are judged. */
export function seriesRow(bench, { id, title, sizes, from, costs, series, note }) {
  const first = sizes.indexOf(from);
  if (first === -1) throw new Error(`${id}: no size ${from}`);
  const judged = flatness(
    sizes.slice(first),
    costs.map((round) => round.slice(first)),
  );
  bench.row({
    id,
    title,
    unit: '×',
    value: judged.ratio,
    from,
    note: [`cost ~ size^${judged.exponent.toFixed(2)}`, note].filter(Boolean).join('; '),
    series,
    during: id,
  });
}
