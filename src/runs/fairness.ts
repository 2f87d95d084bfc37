/**
 * Whose turn it is, as rules: which key a run counts for, how many runs a key may have, what a priority is
 * worth. Pure; runs/ring.ts is the same in Postgres.
 *
 * Keys take turns because each run of a key stands a second behind the key's run before it, so that the first one of
 * another key goes between them. Only RING_WINDOW runs of a key are in the ring, and none is put further back than
 * those seconds: a backlog of thousands waits outside. Priority is time: a step is worth `stepSecs` of waiting. So
 * it keeps its order among runs of one moment. And as every place is a time, no run is overtaken for ever.
 */
export const PRIORITY_MAX = 100;
/** Runs of a key that stand in the ring at once. */
export const RING_WINDOW = 32;
/** With fewer than this in the ring, those outside follow. */
export const RING_LOW = 16;
/** How far a run of a key stands behind the one before it. */
export const TURN_MS = 1_000;
const KEY_LENGTH_MAX = 200;
/** In FAIR_LIMITS: the limit of every key that has none of its own. */
const ANY_KEY = '*';

export interface FairnessRules {
  /** Where a run's key is looked for, in this order: `assistant_id`, `metadata.<name>` or `configurable.<name>`. */
  readonly keys: readonly string[];
  /** Runs of a key that may run, or be about to, at once; `*` for keys that are not named. */
  readonly limits: Readonly<Record<string, number>>;
  /** Seconds of waiting that one step of priority is worth. */
  readonly stepSecs: number;
}

export const NO_FAIRNESS: FairnessRules = { keys: ['assistant_id'], limits: {}, stepSecs: 60 };

export const KEY_PATH = /^(assistant_id|(metadata|configurable)\.[A-Za-z0-9_.-]{1,100})$/;

export interface FairRun {
  readonly assistantId: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly kwargs: {
    readonly config: { readonly configurable: Readonly<Record<string, unknown>> };
  };
}

/** The first of the rule's places that holds a text or a number; '' when none does. */
export function fairKeyOf(rules: FairnessRules, run: FairRun): string {
  for (const path of rules.keys) {
    const dot = path.indexOf('.');
    const name = path.slice(dot + 1);
    const value =
      dot === -1
        ? run.assistantId
        : (path.startsWith('metadata.') ? run.metadata : run.kwargs.config.configurable)[name];
    if (typeof value === 'string' || typeof value === 'number') {
      // Postgres' text knows no NUL.
      const key = String(value).replaceAll('\0', '').slice(0, KEY_LENGTH_MAX);
      if (key !== '') return key;
    }
  }
  return '';
}

export function limitOf(rules: FairnessRules, key: string): number | undefined {
  return Object.hasOwn(rules.limits, key) ? rules.limits[key] : rules.limits[ANY_KEY];
}

/** How many runs of a key may follow into the ring. @param running runs of the key that are being executed */
export const roomOf = (limit: number | undefined, inRing: number, running: number): number =>
  Math.max(0, Math.min(RING_WINDOW - inRing, (limit ?? Infinity) - inRing - running));

/** A place in the order outside of the ring, smaller is sooner, in ms. */
export const placeOf = (
  rules: Pick<FairnessRules, 'stepSecs'>,
  atMs: number,
  priority: number,
): number => atMs - priority * rules.stepSecs * 1_000;

/**
 * A place in the ring.
 * @param ownMs placeOf(now)
 * @param lastMs the last place of the key's runs with this priority that are in the ring
 */
export const ringPlaceOf = (ownMs: number, lastMs: number | undefined): number =>
  lastMs === undefined
    ? ownMs
    : Math.min(Math.max(ownMs, lastMs + TURN_MS), ownMs + RING_WINDOW * TURN_MS);
