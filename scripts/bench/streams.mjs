/** What the rows on event streams share: one stream of ours, one of the raw way, and their figures. */
import { randomUUID } from 'node:crypto';
import { createClient } from './client.mjs';

export const body = (plan, graph = 'emitter') => ({
  assistant_id: graph,
  input: plan,
  stream_mode: ['custom'],
});

/** Starts a run of an emitter graph and follows it. @returns an open stream (client.mjs) */
export const openOurs = (bench, plan, { graph, ...options } = {}) =>
  bench.client.stream('POST', '/runs/stream', {
    body: body(plan, graph),
    expect: { from: 0, count: plan.count, idle: plan.gate !== undefined },
    ...options,
  });

/** The raw relay as a server to `createClient`. */
export function rawClient(bench) {
  return createClient(`http://127.0.0.1:${bench.raw.relay.hello.port}`);
}

/** The same events the raw way, on `runs` channels, each followed by one client. @returns the ended streams */
export async function throughRaw(bench, client, plan, { runs = 1, latencies = false } = {}) {
  const channels = Array.from({ length: runs }, () => `c${randomUUID()}`);
  const streams = await Promise.all(
    channels.map((channel) =>
      client.stream('GET', `/live?channel=${channel}`, {
        expect: { from: 0, count: plan.count },
        latencies,
      }),
    ),
  );
  await bench.raw.publisher.ask({ kind: 'publish', channels, ...plan });
  return Promise.all(streams.map((stream) => stream.done));
}

/** Seconds from the first request to the last event. */
export const spanSeconds = (streams) =>
  (Math.max(...streams.map((s) => s.lastUs)) - Math.min(...streams.map((s) => s.startUs))) / 1e6;
