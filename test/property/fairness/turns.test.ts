/**
 * The rule of turns (src/runs/fairness.ts) played without a database: keys with backlogs, priorities and limits,
 * arrivals beyond what the slots can do. Nothing starves: every wait has a bound that can be said beforehand.
 */
import { placeOf, RING_LOW, RING_WINDOW, ringPlaceOf, roomOf } from '../../../src/runs/fairness.ts';
import { createRandom } from '../log/random.ts';

interface Run {
  key: string;
  priority: number;
  arrivedMs: number;
  /** Order outside the ring. */
  due: number;
  place: number | undefined;
  enteredMs: number | undefined;
  startedMs: number | undefined;
  position: number;
}

interface Options {
  slots: number;
  stepSecs: number;
  limits: Record<string, number>;
  /** One rule switched off, to see that it is needed. */
  without?: 'turns' | 'ageing';
}

/** What runs/ring.ts and runs/claim.ts do in Postgres. */
class World {
  nowMs = 0;
  readonly runs: Run[] = [];
  readonly started: Run[] = [];
  readonly #options: Options;
  #running: { run: Run; endsMs: number }[] = [];
  #ring: Run[] = [];
  #outside: Run[] = [];

  constructor(options: Options) {
    this.#options = options;
  }

  arrive(key: string, priority: number): Run {
    const run: Run = {
      key,
      priority,
      arrivedMs: this.nowMs,
      due: this.#place(this.nowMs, priority),
      place: undefined,
      enteredMs: undefined,
      startedMs: undefined,
      position: this.runs.length,
    };
    this.runs.push(run);
    this.#outside.push(run);
    this.#admit(key);
    return run;
  }

  /** One ms passes. @param durationMs how long a run takes */
  tick(durationMs: (run: Run) => number): void {
    this.nowMs++;
    const ended = this.#running.filter(({ endsMs }) => endsMs <= this.nowMs);
    this.#running = this.#running.filter(({ endsMs }) => endsMs > this.nowMs);
    for (const { run } of ended)
      if (this.#options.limits[run.key] !== undefined) this.#admit(run.key);
    while (this.#running.length < this.#options.slots && this.#ring.length > 0) {
      const [first] = this.#ring.sort(
        (a, b) => (a.place ?? 0) - (b.place ?? 0) || a.position - b.position,
      );
      if (first === undefined) break;
      this.#ring.shift();
      first.startedMs = this.nowMs;
      this.started.push(first);
      this.#running.push({ run: first, endsMs: this.nowMs + durationMs(first) });
      if (this.inRing(first.key) < RING_LOW) this.#admit(first.key);
    }
  }

  inRing = (key: string): number => this.#ring.filter((run) => run.key === key).length;
  running = (key: string): number => this.#running.filter(({ run }) => run.key === key).length;
  get free(): number {
    return this.#options.slots - this.#running.length;
  }
  get waiting(): number {
    return this.#ring.length + this.#outside.length;
  }
  admissible = (key: string): boolean =>
    this.#outside.some((run) => run.key === key) && this.#room(key) > 0;

  #room(key: string): number {
    if (this.#options.without === 'turns') return Infinity;
    return roomOf(this.#options.limits[key], this.inRing(key), this.running(key));
  }

  #place(atMs: number, priority: number): number {
    if (this.#options.without === 'ageing') return atMs - priority * 1e12;
    return placeOf(this.#options, atMs, priority);
  }

  #admit(key: string): void {
    const own = this.#outside
      .filter((run) => run.key === key)
      .sort((a, b) => a.due - b.due || a.position - b.position);
    for (const run of own.slice(0, this.#room(key))) {
      run.enteredMs = this.nowMs;
      const places = this.#ring
        .filter((other) => other.key === key && other.priority === run.priority)
        .map((other) => other.place ?? 0);
      run.place = ringPlaceOf(
        this.#place(this.nowMs, run.priority),
        places.length === 0 || this.#options.without === 'turns' ? undefined : Math.max(...places),
      );
      this.#outside.splice(this.#outside.indexOf(run), 1);
      this.#ring.push(run);
    }
  }
}

const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);

/** Several keys with backlogs, light keys that bring a run now and then. @returns starts that each light run waited for */
function playLight(seed: number, without?: Options['without']): { longest: number; keys: number } {
  const random = createRandom(seed);
  const heavy = Array.from({ length: 1 + random.below(4) }, (_, i) => `heavy${i}`);
  const world = new World({
    slots: 1 + random.below(8),
    stepSecs: 0,
    limits: {},
    ...(without === undefined ? {} : { without }),
  });
  for (const key of heavy) for (let i = 0; i < 300; i++) world.arrive(key, 0);
  let longest = 0;
  let light: { run: Run; before: number } | undefined;
  let brought = 0;
  while (world.nowMs < 600) {
    if (light === undefined && random.below(20) === 0)
      light = { run: world.arrive(`light${brought++ % 3}`, 0), before: world.started.length };
    world.tick(() => 1 + random.below(5));
    if (light?.run.startedMs !== undefined) {
      longest = Math.max(longest, world.started.indexOf(light.run) - light.before);
      light = undefined;
    }
  }
  if (light !== undefined) longest = Math.max(longest, world.started.length - light.before);
  return { longest, keys: heavy.length };
}

test('a single run of a key waits for a turn of each other key, whatever their backlogs', () => {
  for (const seed of SEEDS) {
    const { longest, keys } = playLight(seed);
    // The other light keys have one run at most; ends and starts of one ms are counted, too.
    expect(longest).toBeLessThanOrEqual((keys + 3) * 2 + 8);
  }
});

test('… which taking turns is for', () => {
  const worst = SEEDS.map((seed) => playLight(seed, 'turns')).filter(
    ({ longest, keys }) => longest > keys * RING_WINDOW,
  );
  expect(worst.length).toBeGreaterThan(SEEDS.length / 2);
});

/** The slots are kept more than busy by runs of high priority; one low run. @returns how long it waited, ms */
function playLow(seed: number, without?: Options['without']): number | undefined {
  const random = createRandom(seed);
  const world = new World({
    slots: 2,
    stepSecs: 0.01,
    limits: {},
    ...(without === undefined ? {} : { without }),
  });
  const low = world.arrive('low', -5);
  while (world.nowMs < 2_000 && low.startedMs === undefined) {
    // New keys for ever: each is entitled to its turn.
    for (let i = 0; i < 2; i++) world.arrive(`k${random.below(50)}`, random.below(11));
    world.tick(() => 1 + random.below(3));
  }
  return low.startedMs;
}

test('the lowest run begins when it has waited for what the highest priority is worth, and those before it are done', () => {
  for (const seed of SEEDS) {
    // 15 steps of 10 ms, in which 2 runs a ms arrive that take 2 slots 2 ms each: twice that time to work off.
    expect(playLow(seed)).toBeLessThanOrEqual(15 * 10 * 2 * 2);
  }
});

test('… which ageing is for', () => {
  expect(SEEDS.slice(0, 5).map((seed) => playLow(seed, 'ageing'))).toEqual(
    new Array(5).fill(undefined),
  );
});

test('limits hold at every moment, and no slot is idle while a run may begin', () => {
  for (const seed of SEEDS) {
    const random = createRandom(seed);
    const limits: Record<string, number> = { a: 1 + random.below(3), b: 1 + random.below(40) };
    const world = new World({ slots: 10, stepSecs: 1, limits });
    while (world.nowMs < 400) {
      if (world.nowMs < 200)
        for (let i = random.below(4); i > 0; i--)
          world.arrive(['a', 'b', 'c'][random.below(3)] ?? 'c', random.below(3) - 1);
      world.tick(() => 1 + random.below(30));
      for (const key of ['a', 'b', 'c']) {
        const limit = limits[key];
        if (limit !== undefined)
          expect(world.running(key) + world.inRing(key)).toBeLessThanOrEqual(limit);
        if (world.free > 0) expect(world.inRing(key) > 0 || world.admissible(key)).toBe(false);
      }
    }
    while (world.waiting > 0 && world.nowMs < 100_000) world.tick(() => 1 + random.below(30));
    expect(world.started.length).toBe(world.runs.length);
  }
});

test('of runs that arrive together the higher priority begins first, and equal ones in their order', () => {
  for (const seed of SEEDS) {
    const random = createRandom(seed);
    const world = new World({ slots: 1, stepSecs: 60, limits: {} });
    for (let i = 0; i < 200; i++) world.arrive('a', random.below(5));
    // The first ones fill the ring before the others are there; from then on the order is whole.
    while (world.waiting > 0) world.tick(() => 1);
    const later = world.started.slice(RING_WINDOW);
    later.slice(1).forEach((run, i) => {
      const before = later[i];
      if (before?.priority === run.priority) expect(before.position).toBeLessThan(run.position);
    });
    const firstLow = later.findIndex((run) => run.priority === 0);
    const lastHigh = later.findLastIndex((run) => run.priority === 4);
    expect(lastHigh).toBeLessThan(firstLow);
  }
});
