/** Where the answer is known in closed form the model must give it, and it must refuse what it cannot answer. */
import fc from 'fast-check';
import {
  closedLoad,
  combined,
  limitOf,
  ScalingInputError,
  utilisationAt,
} from '../../../scripts/bench/scaling-model.ts';

test('the slowest station is the limit, at utilisation 1, and the next one is told', () => {
  const limit = limitOf(
    { server: 1, worker: 4, redis: 1 },
    { server: 0.001, worker: 0.008, redis: 0.0005 },
  );
  expect(limit.bottleneck).toBe('worker');
  expect(limit.rate).toBeCloseTo(500);
  expect(limit.utilisation).toEqual({ server: 0.5, worker: 1, redis: 0.25 });
  expect(limit.next).toEqual({ station: 'server', rate: 1_000 });
});

test('more servers than the next bottleneck needs are of no use', () => {
  const demands = { worker: 0.002, postgres: 0.001 };
  expect(limitOf({ worker: 1, postgres: 1 }, demands).rate).toBeCloseTo(500);
  expect(limitOf({ worker: 2, postgres: 1 }, demands).rate).toBeCloseTo(1_000);
  expect(limitOf({ worker: 8, postgres: 1 }, demands)).toMatchObject({
    rate: 1_000,
    bottleneck: 'postgres',
  });
});

test('one user waits for nobody', () => {
  const { seconds, rate } = closedLoad({ a: 1, b: 3 }, { a: 0.01, b: 0.03 }, 1);
  expect(seconds).toBeCloseTo(0.04);
  expect(rate).toBeCloseTo(25);
});

test.each([1, 2, 7, 40])('one station: %i users get 1 / D and wait N · D', (users) => {
  const { seconds, rate } = closedLoad({ a: 1 }, { a: 0.01 }, users);
  expect(rate).toBeCloseTo(100);
  expect(seconds).toBeCloseTo(users * 0.01);
});

test.each([1, 5, 30])('k equal stations: %i users get N / ((N + k − 1) · D)', (users) => {
  const { rate } = closedLoad({ a: 1, b: 1, c: 1 }, { a: 0.01, b: 0.01, c: 0.01 }, users);
  expect(rate).toBeCloseTo(users / ((users + 2) * 0.01));
});

test('thinking users: the interactive response time law holds', () => {
  const { seconds, rate } = closedLoad({ a: 1, b: 2 }, { a: 0.01, b: 0.005 }, 20, 1.5);
  expect(seconds).toBeCloseTo(20 / rate - 1.5);
});

test('no station is ever more than full, and more users never get less', () => {
  const demand = fc.double({ min: 1e-6, max: 1, noNaN: true });
  const servers = fc.integer({ min: 1, max: 32 });
  fc.assert(
    fc.property(
      fc.tuple(demand, demand, demand),
      fc.tuple(servers, servers, servers),
      fc.integer({ min: 1, max: 60 }),
      ([a, b, c], [x, y, z], users) => {
        const [stations, demands] = [
          { a: x, b: y, c: z },
          { a, b, c },
        ];
        const load = closedLoad(stations, demands, users);
        for (const busy of Object.values(load.utilisation))
          expect(busy).toBeLessThanOrEqual(1 + 1e-9);
        expect(load.rate).toBeLessThanOrEqual(limitOf(stations, demands).rate * (1 + 1e-9));
        expect(closedLoad(stations, demands, users + 1).rate).toBeGreaterThanOrEqual(
          load.rate * (1 - 1e-9),
        );
      },
    ),
  );
});

test('a unit made of others costs their sum', () => {
  const run = combined([
    [1, { server: 0.001, worker: 0.002 }],
    [200, { worker: 0.00001, redis: 0.000005 }],
  ]);
  expect(run['server']).toBeCloseTo(0.001);
  expect(run['worker']).toBeCloseTo(0.004);
  expect(run['redis']).toBeCloseTo(0.001);
  expect(utilisationAt({ server: 1, worker: 1, redis: 1 }, run, 250)['worker']).toBeCloseTo(1);
});

test('what it cannot answer is refused', () => {
  expect(() => limitOf({ server: 1 }, { worker: 0.001 })).toThrow(ScalingInputError);
  expect(() => limitOf({ server: 0 }, { server: 0.001 })).toThrow(ScalingInputError);
  expect(() => limitOf({ server: 1 }, { server: 0 })).toThrow(ScalingInputError);
  expect(() => limitOf({ server: 1 }, { server: Number.NaN })).toThrow(ScalingInputError);
  expect(() => closedLoad({ a: 1 }, { a: 1 }, 0)).toThrow(ScalingInputError);
});
