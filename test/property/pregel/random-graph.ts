/**
 * Random graphs as data, from a seed. Both runtimes build the same graph from it; what a node does
 * depends on its input and its own counters only, so that both must do the same.
 */

/** mulberry32: small, seedable, good enough. */
export function createRandom(seed: number): {
  next(): number;
  below(limit: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
} {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (list) => list[below(list.length)] as (typeof list)[number],
  };
}

export type RouteTarget = string | { readonly send: string };

export interface NodeSpec {
  readonly name: string;
  /** Microtask turns before it answers; 0: synchronous. */
  readonly turns: number;
  /** Added to `sum`; 0: does not write it. */
  readonly add: number;
  readonly log: boolean;
  /** Writes the LastValue field `last`. */
  readonly last: boolean;
  /** Throws on its first call (per build). */
  readonly failsOnce: boolean;
  /** Asks this many questions. */
  readonly questions: number;
  /** Returns a Command with this goto instead of a plain update. */
  readonly goto: readonly RouteTarget[];
}

export interface GraphSpec {
  readonly seed: number;
  readonly nodes: readonly NodeSpec[];
  readonly edges: readonly (readonly [string, string])[];
  readonly joins: readonly (readonly [readonly string[], string])[];
  /** from → one list of targets per value of `sum % routes.length`. */
  readonly routes: readonly {
    readonly from: string;
    readonly choices: readonly (readonly RouteTarget[])[];
  }[];
  readonly interruptBefore: readonly string[];
  readonly interruptAfter: readonly string[];
}

export const START = '__start__';
export const END = '__end__';

export function randomGraph(seed: number): GraphSpec {
  const random = createRandom(seed);
  const names = Array.from({ length: 2 + random.below(5) }, (_, index) => `n${index}`);
  const interrupts = random.chance(0.4);
  const failures = random.chance(0.3);
  const conflicts = random.chance(0.1);
  const cycles = random.chance(0.4);
  const later = (from: string): readonly string[] =>
    cycles ? names : names.filter((name) => from === START || name > from);

  const target = (from: string): RouteTarget => {
    const candidates = later(from);
    if (candidates.length === 0 || random.chance(0.2)) return END;
    const name = random.pick(candidates);
    // A Send backwards would multiply with every turn of a cycle.
    return name > from && random.chance(0.25) ? { send: name } : name;
  };
  const targets = (from: string): RouteTarget[] =>
    Array.from({ length: 1 + random.below(3) }, () => target(from));

  const lastWriter = random.pick(names);
  const nodes = names.map((name): NodeSpec => {
    const questions = interrupts && random.chance(0.35) ? 1 + random.below(2) : 0;
    return {
      name,
      turns: random.chance(0.5) ? 0 : 1 + random.below(4),
      add: random.below(4),
      // A node that asks also writes (compare.ts, 7).
      log: questions > 0 || random.chance(0.9),
      last: conflicts ? random.chance(0.5) : name === lastWriter,
      failsOnce: failures && random.chance(0.25),
      questions,
      goto: random.chance(0.15) ? targets(name) : [],
    };
  });
  const edges: [string, string][] = [];
  const joins: [string[], string][] = [];
  const routes: { from: string; choices: RouteTarget[][] }[] = [];
  for (const from of [START, ...names]) {
    const kind = from === START ? random.below(2) : random.below(4);
    if (kind === 0) {
      const to = later(from);
      for (let count = 1 + random.below(2); count > 0 && to.length > 0; count -= 1) {
        const edge: [string, string] = [from, random.pick(to)];
        if (!edges.some(([a, b]) => a === edge[0] && b === edge[1])) edges.push(edge);
      }
      if (!edges.some(([a]) => a === from)) edges.push([from, END]);
    } else if (kind === 1) {
      const count = 1 + random.below(3);
      routes.push({ from, choices: Array.from({ length: count }, () => targets(from)) });
    }
  }
  if (random.chance(0.35) && names.length >= 3) {
    const from = names.filter(() => random.chance(0.5)).slice(0, 3);
    const to = later(from.at(-1) ?? '').filter((name) => !from.includes(name));
    if (from.length >= 2 && to.length > 0) {
      const joined = random.pick(to);
      joins.push([from, joined]);
      // Back to all of them: the join is used again.
      if (cycles && random.chance(0.5))
        edges.push(...from.map((name): [string, string] => [joined, name]));
    }
  }
  const stops = random.chance(0.15);
  // What a join leads to is reached by the join only (compare.ts, 6).
  const joined = joins[0]?.[1];
  const apart = (target: RouteTarget): RouteTarget => (target === joined ? END : target);
  return {
    seed,
    nodes: nodes.map((node) => ({ ...node, goto: node.goto.map(apart) })),
    edges: edges.map(([from, to]) => [from, to === joined ? END : to]),
    joins,
    routes: routes.map(({ from, choices }) => ({
      from,
      choices: choices.map((targets) => targets.map(apart)),
    })),
    interruptBefore: stops ? names.filter(() => random.chance(0.3)) : [],
    interruptAfter: stops ? names.filter(() => random.chance(0.3)) : [],
  };
}

/** What a node sees: the state, or what a Send carries. */
export interface NodeInput {
  readonly sum?: number;
  readonly last?: string | undefined;
  readonly log?: readonly string[];
}

export interface NodeUpdate {
  log?: string[];
  sum?: number;
  last?: string;
}

/** The body of a node. `ask` is the runtime's interrupt; it throws the first time. */
export async function runNode(
  spec: NodeSpec,
  input: NodeInput,
  calls: Map<string, number>,
  ask: (question: string) => unknown,
): Promise<NodeUpdate> {
  for (let turn = 0; turn < spec.turns; turn += 1) await Promise.resolve();
  return runNodeNow(spec, input, calls, ask);
}

export function runNodeNow(
  spec: NodeSpec,
  input: NodeInput,
  calls: Map<string, number>,
  ask: (question: string) => unknown,
): NodeUpdate {
  const { name } = spec;
  const answers: unknown[] = [];
  for (let index = 0; index < spec.questions; index += 1) {
    answers.push(ask(`${name}#${index}@${input.sum ?? -1}`));
  }
  const count = (calls.get(name) ?? 0) + 1;
  calls.set(name, count);
  if (spec.failsOnce && count === 1) throw new Error(`${name} failed`);
  const seen = `${name}(${input.sum ?? '-'},${input.last ?? '-'},${answers.join('/')})`;
  return {
    ...(spec.log ? { log: [seen] } : {}),
    ...(spec.add > 0 ? { sum: spec.add } : {}),
    ...(spec.last ? { last: `${name}:${input.sum ?? 0}` } : {}),
  };
}

/** The argument of every Send. */
export const sendArgs = (input: NodeInput): NodeInput => ({ sum: 100 + (input.sum ?? 0) });

export const chosen = (
  choices: readonly (readonly RouteTarget[])[],
  state: NodeInput,
): readonly RouteTarget[] => choices[(state.sum ?? 0) % choices.length]!;

/** A run's trace, in the terms both runtimes share. */
export interface Trace {
  /** One entry per run: the first and those that resumed or retried it. */
  readonly runs: readonly RunTrace[];
  readonly history: readonly unknown[];
}

export interface RunTrace {
  readonly values: readonly unknown[];
  readonly updates: readonly string[];
  readonly error: string | undefined;
  readonly state: unknown;
}

/** Runs in all before a graph that keeps interrupting is left alone. */
export const RUNS_MAX = 8;
export const STEPS_MAX = 12;

/** The same graph, in which no node fails. */
export const withoutFailures = (spec: GraphSpec): GraphSpec => ({
  ...spec,
  nodes: spec.nodes.map((node) => ({ ...node, failsOnce: false })),
});
