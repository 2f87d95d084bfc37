/** Between the server and its clients: proxies that gather, idle limits, deployments, and crowds. */
import { createServer, request } from 'node:http';
import { createConnection, createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createGzip } from 'node:zlib';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { markFile, PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { watchDelivery } from '../support/delivery.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { openSse } from '../support/event-client.ts';
import type { SseClient } from '../support/event-client.ts';
import { createTempFolder, removeTempFolder } from '../support/reaper.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';

const folder = createTempFolder('marks');
let cluster: Cluster;
/** For [33], which takes its time while the others are tested. */
let silent: { run: Begun; client: SseClient; proxy: { url: string; stop(): void } };
beforeAll(async () => {
  cluster = await startCluster({ workers: 1, env: { ...PATIENT, N_JOBS_PER_WORKER: '20' } });
  // A heartbeat comes every 5 s, a lease lasts 6 s.
  const proxy = await startImpatientProxy(Number(new URL(cluster.url).port), 9_000);
  const run = await begin({ steps: 1, events: 5, atStep: 0, then: 'silent', forMs: 18_000 });
  silent = { run, client: openSse(proxy.url + run.path), proxy };
});
afterAll(async () => {
  await cluster.stop();
  removeTempFolder(folder);
});

interface Begun {
  threadId: string;
  runId: string;
  path: string;
  expected: number;
}

async function begin(plan: Plan): Promise<Begun> {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, plan);
  const path = `/threads/${threadId}/runs/${runId}/stream`;
  return { threadId, runId, path, expected: plan.steps * plan.events };
}

/** A proxy as nginx is with its defaults: gathers, and compresses text; both unless the response forbids it. */
async function startGatheringProxy(target: string): Promise<{ url: string; stop(): void }> {
  const GATHERED_BYTES = 8_192;
  const server = createServer((incoming, outgoing) => {
    const onward = request(target + (incoming.url ?? ''), { method: incoming.method }, (answer) => {
      const { headers } = answer;
      const gather = headers['x-accel-buffering'] !== 'no';
      const compress = headers['cache-control']?.includes('no-transform') !== true;
      outgoing.writeHead(answer.statusCode ?? 502, {
        'content-type': headers['content-type'],
        ...(compress ? { 'content-encoding': 'gzip' } : {}),
      });
      const out = compress ? createGzip() : outgoing;
      if (compress) (out as ReturnType<typeof createGzip>).pipe(outgoing);
      let held: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => {
        held.push(chunk);
        const whole = Buffer.concat(held);
        if (gather && whole.length < GATHERED_BYTES) return;
        out.write(whole);
        held = [];
      });
      answer.on('end', () => out.end(Buffer.concat(held)));
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    onward.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('[32] through a proxy that gathers and compresses an event is there within 200 ms of its append', async () => {
  const proxy = await startGatheringProxy(cluster.url);
  try {
    const run = await begin({
      steps: 2,
      events: 10,
      eventMs: 20,
      atStep: 1,
      then: 'silent',
      forMs: 9_000,
    });
    const delivery = watchDelivery(cluster, run.threadId);
    const client = openSse(proxy.url + run.path);
    // The first step's events, while the second one is silent.
    await client.until(11, 8_000);
    expect((await cluster.row(run.runId)).status).toBe('running');
    await delivery.stop();
    // More than the 200 ms, for a busy machine: who gathers holds them for the whole silence.
    expect(delivery.worstMs(client)).toBeLessThan(1_000 + delivery.standstillMs());
    await client.end();
    expect(await violationsIn(cluster, { ...run, clients: [[client]] })).toEqual([]);
  } finally {
    proxy.stop();
  }
});

/** Breaks connections on which nothing is sent for so long. */
async function startImpatientProxy(
  port: number,
  idleMs: number,
): Promise<{ url: string; stop(): void }> {
  const server = createTcpServer((client) => {
    const upstream = createConnection({ host: '127.0.0.1', port });
    client.setTimeout(idleMs, () => client.destroy());
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => server.close(),
  };
}

test('[39] the servers are replaced one after the other under 100 streams: all go on, none misses or repeats an event', async () => {
  const old = [await cluster.startServer(), await cluster.startServer()];
  const runs = await Promise.all(
    Array.from({ length: 4 }, () => begin({ steps: 4, events: 100, eventMs: 120 })),
  );
  /** Those that a load balancer would send a client to. */
  const up = [...old];
  const visits = runs.flatMap((run) =>
    Array.from({ length: 25 }, (_, i) => ({
      run,
      visitor: openVisitor((up[i % up.length]?.url ?? '') + run.path),
    })),
  );
  let over = false;
  // As EventSource: who is cut off comes back, after a moment, to whoever is there.
  const coming = waitUntil(
    () => {
      for (const [i, { run, visitor }] of visits.entries())
        if (visitor.now.error !== undefined)
          visitor.comeBack((up[i % up.length]?.url ?? '') + run.path);
      over = visits.every(({ visitor }) => visitor.now.ended);
      return over;
    },
    { timeoutMs: 120_000, what: 'all streams to end' },
  );
  for (const { visitor } of visits) await visitor.now.until(30).catch(() => undefined);
  for (const server of old) {
    up.push(await cluster.startServer());
    up.splice(up.indexOf(server), 1);
    expect(await server.process.stop()).toBe(0);
  }
  expect(over).toBe(false);
  await coming;
  expect(visits.every(({ visitor }) => visitor.sessions.length >= 2)).toBe(true);
  for (const run of runs) {
    const own = visits.filter((visit) => visit.run === run);
    const clients = own.map(({ visitor }) => visitor.sessions);
    expect(await violationsIn(cluster, { ...run, clients })).toEqual([]);
  }
});

test('[65] 50 clients that come back at the very end of a 9,000-event run cost what is missing, not the log', async () => {
  const { hostname, port } = new URL(cluster.databaseUrl);
  const line = await startTcpProxy({ host: hostname, port: Number(port) });
  try {
    const through = new URL(cluster.databaseUrl);
    through.host = `127.0.0.1:${line.port}`;
    const { url } = await cluster.startServer({ DATABASE_URL: through.href });
    const run = await begin({ steps: 1, events: 9_000 });
    const whole = openSse(cluster.url + run.path);
    await whole.end();
    const near = 8_990;
    const before = line.bytes('down');
    const late = Array.from({ length: 50 }, () =>
      openSse(url + run.path, { lastEventId: String(near) }),
    );
    for (const client of late) await client.end();
    const bytes = line.bytes('down') - before;
    for (const client of late) expect(client.events).toEqual(whole.events.slice(near + 1));
    const size = whole.events.reduce((sum, { data }) => sum + data.length, 0);
    // Each has a tenth of a percent of it to get, and pays for its look-ups besides.
    expect(bytes).toBeLessThan((50 * size) / 50);
    expect(await violationsIn(cluster, { ...run, clients: [[whole]] })).toEqual([]);
  } finally {
    await line.close();
  }
});

test('[69] 1,000 clients wait for 4 runs: while nothing happens they cost next to no query, and all are answered at once', async () => {
  const quiet = { atStep: 0, then: 'silent', forMs: 25_000 } as const;
  const runs = await Promise.all(
    Array.from({ length: 4 }, () => begin({ steps: 1, events: 1, ...quiet })),
  );
  const statements = async (): Promise<number> => {
    const { rows } = await cluster.pool.query<{ n: number }>(
      `SELECT xact_commit AS n FROM pg_stat_database WHERE datname = current_database()`,
    );
    return rows[0]?.n ?? 0;
  };
  /** Statements of a second. */
  const inASecond = async (): Promise<number> => {
    const from = await statements();
    const fromAt = Date.now();
    await waitUntil(() => Date.now() - fromAt >= 1_000, { timeoutMs: 20_000 });
    return (await statements()) - from;
  };
  const alone = await inASecond();
  const asked = Array.from({ length: 1_000 }, async (_, i) => {
    const run = runs[i % runs.length];
    const response = await fetch(`${cluster.url}/threads/${run?.threadId}/runs/${run?.runId}/join`);
    const text = await response.text();
    const at = Date.now();
    return { run: run?.runId, at, n: (JSON.parse(text) as { n: number }).n };
  });
  await waitUntil(async () => (await inASecond()) < alone + 60, {
    timeoutMs: 20_000,
    what: 'a second with few statements',
  });
  for (const { runId } of runs) expect((await cluster.row(runId)).status).toBe('running');
  const delivery = watchDelivery(cluster, runs[0]?.threadId ?? '');
  const answers = await Promise.all(asked);
  await delivery.stop();
  const { rows } = await cluster.pool.query<{ run_id: string; ended: number }>(
    `SELECT run_id, extract(epoch FROM ended_at)::float8 * 1000 AS ended FROM runs WHERE run_id = ANY($1)`,
    [runs.map(({ runId }) => runId)],
  );
  const ended = new Map(rows.map((row) => [row.run_id, row.ended]));
  const latencies = answers.map(({ run, at }) => at - (ended.get(run ?? '') ?? 0));
  latencies.sort((a, b) => a - b);
  expect(answers.every(({ n }) => n === 1)).toBe(true);
  // The test's process reads the answers one after the other, too.
  expect(latencies[990]).toBeLessThan(1_000 + delivery.standstillMs());
});

test('[33] a tool is silent for longer than a proxy’s idle limit and many leases: the link stays, the run is not doubled', async () => {
  const { run, client, proxy } = silent;
  try {
    await client.end(20_000);
    expect(await violationsIn(cluster, { ...run, clients: [[client]] })).toEqual([]);
    expect(await cluster.row(run.runId)).toMatchObject({ status: 'success', attempt: 1 });
  } finally {
    proxy.stop();
  }
});

test('[48] clocks that jump by an hour, back at a worker and forth at the next: order stays, no lease is lost or kept for it', async () => {
  const files = [markFile(folder), markFile(folder)];
  const wrong = (file: string | undefined): Record<string, string> => ({
    NODE_OPTIONS: `--import=${fileURLToPath(new URL('../support/shifted-clock.mjs', import.meta.url))}`,
    CLOCK_SHIFT_FILE: file ?? '',
    ...PATIENT,
  });
  await cluster.workers.get('w1')?.kill();
  await cluster.startWorker('back', { ...wrong(files[0]), WORKER_HEARTBEAT_TTL: '4' });
  const server = await cluster.startServer(wrong(files[1]));
  const run = await begin({ steps: 10, events: 60, eventMs: 15 });
  const visitor = openVisitor(server.url + run.path);
  await visitor.now.until(20);
  writeFileSync(files[0] ?? '', String(-3_600_000));
  writeFileSync(files[1] ?? '', String(3_600_000));
  await visitor.now.until(100);
  expect(await cluster.row(run.runId)).toMatchObject({ status: 'running', attempt: 1 });
  // Made by a server whose clock is an hour ahead, for now.
  const other = await fetch(`${server.url}/runs/wait`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id: 'probe', input: { plan: { steps: 1, events: 3 } } }),
  });
  expect(await other.json()).toMatchObject({ n: 3 });
  await cluster.workers.get('back')?.kill();
  await cluster.startWorker('forth', wrong(files[1]));
  await visitor.now.end();
  expect(await violationsIn(cluster, { ...run, clients: [visitor.sessions] })).toEqual([]);
  expect(await cluster.row(run.runId)).toMatchObject({ status: 'success', attempt: 2 });
});
