/** A worker dies, or is told to stop, in the middle of a run: how long until another one goes on. Default settings. */
import { createParser } from 'eventsource-parser';
import http from 'node:http';
import { nowUs, sinceMs } from '../clock.mjs';
import { body } from '../streams.mjs';

const HEIR_MS_MAX = 60_000;

/** Follows a run over its attempts: each must count from 0, the ids of all of them on and on. */
async function follow(url, plan) {
  const request = http.request(`${url}/runs/stream`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  request.end(JSON.stringify(body(plan)));
  const response = await new Promise((resolve, reject) => {
    request.once('error', reject).once('response', resolve);
  });
  const stream = {
    runId: response.headers['content-location'].split('/').pop(),
    attempt: 0,
    count: 0,
  };
  let next = 0;
  let nextId = 0;
  let wake = () => undefined;
  let failure;
  let over = false;
  const parser = createParser({
    onEvent({ id, event, data }) {
      const [n] = id.split('-').map(Number);
      if (event === 'rewind') nextId = n + 1;
      else if (n !== nextId++) failure ??= new Error(`id ${id} where ${nextId - 1} was expected`);
      const value = JSON.parse(data);
      if (event === 'metadata') {
        stream.attempt = value.attempt;
        next = 0;
      } else if (event === 'custom') {
        if (value.n !== next++)
          failure ??= new Error(`event ${value.n} where ${next - 1} was expected`);
        stream.count = next;
        stream.atUs = nowUs();
      }
      wake();
    },
  });
  response.setEncoding('utf8').on('data', (chunk) => parser.feed(chunk));
  response.on('error', (error) => (failure ??= error));
  stream.ended = new Promise((resolve) => response.once('close', resolve));
  void stream.ended.then(() => {
    over = true;
    if (stream.count !== plan.count) failure ??= new Error(`ended after ${stream.count} events`);
    wake();
  });
  stream.until = async (enough) => {
    const until = Date.now() + HEIR_MS_MAX;
    while (!enough(stream)) {
      if (failure) throw failure;
      if (over) throw new Error(`the run ended with attempt ${stream.attempt}`);
      if (Date.now() > until) throw new Error(`attempt ${stream.attempt} hangs`);
      await Promise.race([
        new Promise((resolve) => (wake = resolve)),
        new Promise((resolve) => setTimeout(resolve, 500).unref()),
      ]);
    }
    if (failure) throw failure;
  };
  return stream;
}

const NO_GRACE = { BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '0' };

/** Of two workers, ends the one that has the run. @returns seconds from the signal to the first event of the next attempt */
async function strike(bench, signal) {
  const { stack } = bench;
  const heir = await stack.startWorker('heir', NO_GRACE);
  // Long enough that the run is not over when it happens.
  const plan = { count: 600, perSecond: 200 };
  const stream = await follow(bench.client.url, plan);
  await stream.until(({ count }) => count >= 100);
  const { rows } = await stack.db.query('SELECT worker_id FROM runs WHERE run_id = $1', [
    stream.runId,
  ]);
  const [victim, survivor] =
    rows[0].worker_id === 'heir' ? [heir, stack.worker] : [stack.worker, heir];
  const startUs = nowUs();
  victim.kill(signal);
  await stream.until(({ attempt, count }) => attempt === 2 && count > 0);
  const seconds = sinceMs(startUs) / 1_000;
  await stream.ended;
  await stream.until(() => true);
  await victim.exited;
  await survivor.stop();
  stack.worker = await stack.startWorker('worker', NO_GRACE);
  return seconds;
}

const SIGNALS = {
  sigterm: {
    signal: 'SIGTERM',
    title: 'worker told to stop (SIGTERM, no grace) → its run goes on',
    baseline: 'LPUSH by the holder of a key → BRPOP',
  },
  sigkill: {
    signal: 'SIGKILL',
    title: 'worker killed (SIGKILL) → its run goes on',
    baseline: 'a key of 6 s renewed every 2 s, looked at every second',
  },
};

async function run(bench) {
  const { stack, raw } = bench;
  await stack.worker.stop();
  // Told to stop, a worker lets its runs end within the grace; without any it hands them over at once.
  stack.worker = await stack.startWorker('worker', NO_GRACE);
  for (const [name, { signal, title, baseline }] of Object.entries(SIGNALS)) {
    const { ours, floor } = await bench.alternate(
      {
        ours: async () => ({ seconds: await strike(bench, signal) }),
        ...(raw.lease === undefined
          ? {}
          : { floor: () => raw.lease.ask({ kind: 'strike', signal }) }),
      },
      { rounds: bench.path === 'redis' ? Math.min(bench.rounds, 3) : 1 },
    );
    bench.row({
      id: `kill/${name}`,
      title,
      unit: 's',
      value: ours.seconds,
      baseline: floor && { name: baseline, value: floor.seconds },
      note: `of ${ours.all.length}: ${ours.all.map(({ seconds }) => seconds.toFixed(2)).join(', ')}`,
    });
  }
}

const common = { name: 'kill', run };
export const kill = { ...common, paths: ['redis'], raw: ['lease'] };
export const killDirect = { ...common, paths: ['direct'], raw: [] };
