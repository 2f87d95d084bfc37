/** Flat must be told from growing also when single rounds are far off, and a growing cost must not pass for flat. */
// A script of plain JavaScript, so it has no types of its own.
const file = ['../../../scripts/bench/growth', 'flatness.mjs'].join('/');
const { flatness } = (await import(file)) as {
  flatness(
    sizes: readonly number[],
    rounds: readonly (readonly number[])[],
  ): { costs: number[]; ratio: number; exponent: number };
};
const sizes = [100, 1_000, 10_000, 100_000];

test('a flat cost is flat, also when one round met a busy neighbour', () => {
  const judged = flatness(sizes, [
    [10, 11, 10, 10],
    [10, 10, 95, 80],
    [11, 10, 10, 11],
  ]);
  expect(judged.ratio).toBeCloseTo(1);
  expect(Math.abs(judged.exponent)).toBeLessThan(0.05);
  expect(judged.costs).toEqual([10, 10, 10, 11]);
});

test('a round that is slow as a whole changes nothing', () => {
  const round = [10, 10, 10, 10];
  expect(flatness(sizes, [round, round.map((n) => 7 * n), round]).ratio).toBeCloseTo(1);
});

test('a cost with the root, the size or its logarithm in it is found out', () => {
  const of = (cost: (size: number) => number) => flatness(sizes, [sizes.map(cost)]);
  expect(of((n) => n).ratio).toBeCloseTo(1_000);
  expect(of((n) => n).exponent).toBeCloseTo(1);
  expect(of(Math.sqrt).exponent).toBeCloseTo(0.5);
  expect(of(Math.log).ratio).toBeGreaterThan(2);
});

test('a single size is no series', () => {
  expect(() => flatness([1], [[1]])).toThrow('two sizes');
  expect(() => flatness(sizes, [])).toThrow('two sizes');
});
