/**
 * A seeded model of one thread's log: runs after one another, workers that die, hand over or come back
 * as zombies, archivers, readers, and a Redis that loses data, between any two steps of the protocol.
 *
 * What must hold, else the seed fails:
 * - the archive has one row per seq, dense, with the content its writer emitted, and never takes a row
 *   of a term after the start of a later one was recorded (postgres.ts);
 * - an acknowledged event survives a claim, unless Redis lost data after the acknowledgement (postgres.ts);
 * - a term starts after everything that came before the checkpoint it goes on from (postgres.ts);
 * - at its end a term has everything in the archive (writer.ts);
 * - a reader is sent back only when what it had is not in the archive (reader.ts), and ends with exactly
 *   what the archive has, so that every difference was announced;
 * - once nothing fails any more, the writer gets everything into Redis and the archiver into Postgres.
 */
import { crash, createPostgres, insertRows, type Ending, type LogEvent } from './postgres.ts';
import { createRandom, type Random } from './random.ts';
import {
  createReader,
  deliverPending,
  isAtEnd,
  readArchive,
  readStream,
  type Reader,
} from './reader.ts';
import { createRedis, lose, trim } from './redis.ts';
import type { Rules } from './rules.ts';
import { must, Violation } from './violation.ts';
import {
  checkpoint,
  claim,
  deliverLate,
  end,
  isRunning,
  sendDirect,
  showAll,
  step,
  stop,
} from './writer.ts';
import type { Writer } from './writer.ts';
import type { World } from './world.ts';

export interface Outcome {
  /** The claim that did not hold; undefined: the seed passed. */
  readonly violation: string | undefined;
  readonly archived: number;
  readonly terms: number;
  readonly losses: number;
  readonly rewinds: number;
}
export interface Options {
  /** Random actions before the final phase. */
  readonly steps?: number;
  /** false: the log alone, so that a seed found before there were checkpoints plays as it did. */
  readonly checkpoints?: boolean;
  readonly trace?: (line: string) => void;
}

const STEPS = 250;
const READERS = 3;
/** Bound of every loop of the final phase: far above what a protocol that makes progress needs. */
const ROUNDS_MAX = 400;

interface Model {
  readonly world: World;
  readonly writers: Writer[];
  readonly readers: Reader[];
  /** Batches that archivers read and have not committed yet. */
  readonly batches: (readonly LogEvent[])[];
  /** The actions of this seed, each as often as it is probable. */
  readonly deck: readonly Action[];
}

/** Plays one seed. Deterministic in (seed, rules, steps). */
export function play(seed: number, rules: Rules, options: Options = {}): Outcome {
  const model = createModel(seed, rules, options);
  let violation: string | undefined;
  try {
    model.writers.push(claim(model.world));
    for (let i = options.steps ?? STEPS; i > 0; i--) act(model);
    finish(model);
    compare(model);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error.message;
  }
  const { pg, redis } = model.world;
  return {
    violation,
    archived: pg.archived,
    terms: pg.terms.length,
    losses: redis.losses,
    rewinds: model.readers.reduce((sum, reader) => sum + reader.rewinds, 0),
  };
}

function createModel(seed: number, rules: Rules, options: Options): Model {
  const { trace, checkpoints = true } = options;
  const random = createRandom(seed);
  const readers = Array.from({ length: READERS }, createReader);
  let value = 0;
  const world: World = {
    rules,
    random,
    pg: createPostgres(),
    redis: createRedis(),
    wire: [],
    copies: random.pick([0, 0, 0.03, 0.15, 0.4]) ?? 0,
    clock: 0,
    nextValue: () => ++value,
    publish: (events) => {
      for (const reader of readers) if (random.chance(0.5)) reader.pending = events;
    },
    trace,
  };
  return { world, writers: [], readers, batches: [], deck: createDeck(random, checkpoints) };
}

/** How often each actor acts; a seed scales each, so that some seeds know no archiver, or many faults. */
const WEIGHTS = {
  newest: 32,
  anyone: 14,
  direct: 3,
  checkpoint: 4,
  readBatch: 7,
  commitBatch: 7,
  trim: 5,
  lose: 3,
  away: 1,
  claim: 3,
  die: 2,
  crash: 1,
  crashPostgres: 1,
  end: 3,
  late: 3,
  readArchive: 6,
  readStream: 8,
  deliver: 12,
};
type Action = keyof typeof WEIGHTS;
const ACTIONS = Object.keys(WEIGHTS) as Action[];
const WITH_CHECKPOINTS: ReadonlySet<Action> = new Set(['checkpoint', 'crashPostgres']);
const SCALES = [0, 0.3, 1, 1, 3];

function createDeck(random: Random, checkpoints: boolean): Action[] {
  const actions = ACTIONS.filter((action) => checkpoints || !WITH_CHECKPOINTS.has(action));
  return actions.flatMap((action) => {
    const scale = action === 'newest' ? 1 : (random.pick(SCALES) ?? 1);
    return Array.from({ length: Math.ceil(WEIGHTS[action] * scale) }, () => action);
  });
}

function act({ world, writers, readers, batches, deck }: Model): void {
  const { pg, random, redis, trace } = world;
  const newest = writers.at(-1);
  const anyone = random.pick(writers);
  const reader = random.pick(readers);
  const action = random.pick(deck);
  if (!newest || !anyone || !reader || !action) return;
  switch (action) {
    case 'newest':
      if (newest.phase.name === 'gone' && random.chance(0.3)) writers.push(claim(world));
      else step(world, newest, random.below(3));
      return;
    case 'anyone':
      step(world, anyone, random.below(3));
      return;
    case 'direct':
      sendDirect(world, random.chance(0.8) ? newest : anyone, random.below(3));
      return;
    case 'checkpoint':
      checkpoint(world, random.chance(0.8) ? newest : anyone, random.below(3));
      return;
    case 'readBatch':
      readBatch(world, batches);
      return;
    case 'commitBatch':
      commitBatch(world, batches);
      return;
    case 'trim':
      trimStream(world);
      return;
    case 'lose':
      redisLoses(world);
      return;
    case 'away':
      redis.away = !redis.away && random.chance(0.5);
      trace?.(redis.away ? 'Redis is away' : 'Redis is back');
      return;
    case 'claim':
      writers.push(claim(world));
      return;
    case 'die':
      if (anyone.phase.name !== 'gone') stop(world, anyone, 'dies');
      return;
    case 'crash': // what loses events for good: Redis and the worker together
      if (newest.phase.name !== 'gone') stop(world, newest, 'dies');
      redisLoses(world);
      return;
    case 'crashPostgres': // and all its connections: an archiver's batch is read again
      trace?.(`Postgres crashes, ${pg.onDisk ? `back to ${pg.onDisk.archived}` : 'loses nothing'}`);
      crash(pg);
      return;
    case 'end':
      end(world, random.chance(0.8) ? newest : anyone, random.pick(ENDINGS) ?? 'end');
      return;
    case 'late':
      deliverLate(world);
      return;
    case 'readArchive':
      readArchive(world, reader);
      return;
    case 'readStream':
      readStream(world, reader);
      return;
    case 'deliver':
      deliverPending(world, reader);
      return;
  }
}
const ENDINGS: readonly Ending[] = ['end', 'end', 'hand over', 'roll back'];

function redisLoses({ redis, random, trace }: World): void {
  if (redis.away) return;
  const lost = lose(redis, random);
  trace?.(`Redis loses ${lost}`);
}
function readBatch({ pg, redis, random, trace }: World, batches: (readonly LogEvent[])[]): void {
  if (redis.away) return;
  const batch = redis.state.stream.filter((event) => event.seq > pg.archived);
  if (batch.length === 0) return;
  const from = random.chance(0.7) ? 0 : random.below(batch.length); // pages of another archiver
  batches.push(batch.slice(from, from + 1 + random.below(8)));
  trace?.(`an archiver reads ${showAll(batches.at(-1) ?? [])}`);
}
function commitBatch(world: World, batches: (readonly LogEvent[])[]): void {
  const [batch] = batches.splice(world.random.below(batches.length), 1);
  if (!batch) return;
  const archived = insertRows(world.pg, world.rules, batch);
  world.trace?.(`an archiver commits ${showAll(batch)}, archived ${archived}`);
}
/** Up to what an archiver's own commit answered, which had waited for the disk. */
function trimStream({ redis, rules, pg, trace }: World): void {
  if (redis.away) return;
  const archived = pg.onDisk?.archived ?? pg.archived;
  trim(redis, rules, archived);
  trace?.(`trim up to ${archived}`);
}

/** Faults stop, one more worker claims; what must get through now gets through. */
function finish({ world, writers, batches }: Model): void {
  const { pg, redis, trace } = world;
  trace?.('— no more faults —');
  redis.away = false;
  world.copies = 0;
  for (let i = 0; i < 3; i++) deliverLate(world);
  world.wire.length = 0;
  for (const writer of writers) if (writer.phase.name !== 'gone') stop(world, writer, 'dies');

  const writer = claim(world);
  within(
    () => isRunning(writer),
    () => {
      step(world, writer, 0);
    },
    'the last claim',
  );
  step(world, writer, 5);
  within(
    () => writer.next > writer.last,
    () => {
      step(world, writer, 0);
    },
    'the last writer',
  );
  const archive = (): void => {
    readBatch(world, batches);
    commitBatch(world, batches);
  };
  within(() => pg.archived === writer.last, archive, 'the archiver');
  end(world, writer, 'end');
}
function within(done: () => boolean, round: () => void, who: string): void {
  for (let i = 0; i < ROUNDS_MAX && !done(); i++) round();
  must(done(), () => `${who} makes no progress`);
}

/** Every client reads on to the end: its view must be the archive, but for void ranges. */
function compare({ world, readers }: Model): void {
  const { pg } = world;
  const isVoid = (seq: number): boolean =>
    pg.voids.some(({ first, last }) => first <= seq && seq <= last);
  for (const reader of readers) {
    deliverPending(world, reader);
    within(
      () => isAtEnd(world, reader),
      () => {
        readArchive(world, reader);
      },
      'a reader',
    );
    for (const { seq, v } of pg.rows)
      must(
        reader.view[seq - 1] === v || isVoid(seq),
        () => `a reader has another event ${seq} than the archive, and was not told`,
      );
  }
  const fresh = createReader();
  within(
    () => isAtEnd(world, fresh),
    () => {
      readArchive(world, fresh);
    },
    'a new reader',
  );
  for (const { seq } of pg.rows)
    must(
      (fresh.view[seq - 1] === undefined) === isVoid(seq),
      () => `a new reader was given event ${seq} of a void range, or missed it`,
    );
}
