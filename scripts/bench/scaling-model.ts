/**
 * How much a deployment carries, from what the bench measured: operational analysis, no simulation of single requests.
 *
 *   utilisation law   U = X · D / m       a station of m servers, asked for D seconds by each unit of work, X units a second
 *   bound             X ≤ min m / D       the station that reaches 1 first is the bottleneck
 *   mean value        R, X of N users who wait for their answer, station by station (exact MVA; a station of m servers is one
 *   analysis          that is m times as fast and a wait of D · (m − 1) / m, after Seidmann)
 *
 * CPU seconds are what a unit costs whoever waits for it, so they hold on other machines up to the factor of their clock.
 * What it does not know: locks within Postgres, network latency, memory bandwidth, queues that are not at a station.
 */

/** Seconds of each station that one unit of work (a run, an event) takes. */
export type Demands = Readonly<Record<string, number>>;
/** How many units at once each station works on: processes, cores, shards. */
export type Stations = Readonly<Record<string, number>>;

export class ScalingInputError extends Error {
  override readonly name = 'ScalingInputError';
}

export interface Limit {
  /** Units a second at which the first station is full. */
  readonly rate: number;
  readonly bottleneck: string;
  /** Of each station at that rate, 0 to 1. */
  readonly utilisation: Readonly<Record<string, number>>;
  /** The station that would be full next, and the rate at which. */
  readonly next: { readonly station: string; readonly rate: number } | undefined;
}

/** @throws ScalingInputError for a demand without its station, a negative one, or none at all */
export function limitOf(stations: Stations, demands: Demands): Limit {
  const full = entriesOf(stations, demands)
    .filter(([, demand]) => demand > 0)
    .map(([station, demand, servers]) => ({ station, rate: servers / demand }))
    .sort((a, b) => a.rate - b.rate);
  const [first, second] = full;
  if (first === undefined) throw new ScalingInputError('expected a demand above 0 at some station');
  return {
    rate: first.rate,
    bottleneck: first.station,
    utilisation: utilisationAt(stations, demands, first.rate),
    next: second,
  };
}

/** Share of each station that is busy at `rate` units a second; above 1 it cannot be. */
export function utilisationAt(
  stations: Stations,
  demands: Demands,
  rate: number,
): Record<string, number> {
  return Object.fromEntries(
    entriesOf(stations, demands).map(([station, demand, servers]) => [
      station,
      (rate * demand) / servers,
    ]),
  );
}

export interface ClosedLoad {
  /** Units a second. */
  readonly rate: number;
  /** Seconds from request to answer. */
  readonly seconds: number;
  readonly utilisation: Readonly<Record<string, number>>;
}

/** `users` at once, each of whom asks again `thinkSeconds` after the answer. */
export function closedLoad(
  stations: Stations,
  demands: Demands,
  users: number,
  thinkSeconds = 0,
): ClosedLoad {
  if (!Number.isInteger(users) || users < 1)
    throw new ScalingInputError(`expected users, 1 or more, found ${users}`);
  const parts = entriesOf(stations, demands).map(([, demand, servers]) => ({
    queueing: demand / servers,
    waiting: (demand * (servers - 1)) / servers,
    queue: 0,
  }));
  let rate = 0;
  let seconds = 0;
  for (let n = 1; n <= users; n += 1) {
    const times = parts.map(({ queueing, waiting, queue }) => ({
      atQueue: queueing * (1 + queue),
      waiting,
    }));
    seconds = times.reduce((sum, { atQueue, waiting }) => sum + atQueue + waiting, 0);
    rate = n / (seconds + thinkSeconds);
    parts.forEach((part, i) => (part.queue = rate * (times[i]?.atQueue ?? 0)));
  }
  return { rate, seconds, utilisation: utilisationAt(stations, demands, rate) };
}

/** Demands of one unit that is made of others: `[[1, ofARun], [200, ofAnEvent]]`. */
export function combined(parts: readonly (readonly [number, Demands])[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const [times, demands] of parts)
    for (const [station, demand] of Object.entries(demands))
      sum[station] = (sum[station] ?? 0) + times * demand;
  return sum;
}

function entriesOf(stations: Stations, demands: Demands): [string, number, number][] {
  return Object.entries(demands).map(([station, demand]) => {
    const servers = stations[station];
    if (servers === undefined || !(servers > 0))
      throw new ScalingInputError(`expected a station "${station}" of 1 or more`);
    if (!(demand >= 0) || !Number.isFinite(demand))
      throw new ScalingInputError(`demand of "${station}": expected 0 or more, found ${demand}`);
    return [station, demand, servers];
  });
}
