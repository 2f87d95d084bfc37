/**
 * Alerts about Postgres are brought about in a real deployment, fire in a real Prometheus, and end when the
 * runbook is followed. Postgres is the file's own, behind a network that can fail. The rules' time: test/support/prometheus.ts.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endNamedSession, keepDoing, SHORT, startAlerts, WAIT_MS } from '../support/alerts.ts';
import type { Alerts } from '../support/alerts.ts';
import { markFile, PATIENT } from '../support/cluster.ts';
import { startPostgres } from '../support/postgres.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { waitUntil } from '../support/wait-until.ts';

interface Session {
  query(sql: string): Promise<unknown>;
  release(broken: boolean): void;
}

/** Together more than the alert allows, each less than LOG_UNARCHIVED_MAX. */
const BURSTS = 4;
const BURST = 15_000;

describeWith('prometheus', 'prometheus', 'alerts about Postgres', (binary) => {
  let postgres: TestPostgres;
  let line: TcpProxy;
  let alerts: Alerts;
  let folder: string;
  /** Sessions that a test breaks, or that are broken for it. */
  const sessions = new Set<Session>();
  const openSession = async (): Promise<Session> => {
    const session = await alerts.cluster.pool.connect();
    session.on('error', () => undefined);
    sessions.add(session);
    return session;
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-alerts-'));
    // So small a queue of notifications that a test can fill it.
    postgres = await startPostgres({ settings: { max_notify_queue_pages: '64' } });
    line = await startTcpProxy({ port: postgres.port });
    alerts = await startAlerts(binary, ['w1', 'w2'], {
      serverUrl: postgres.url,
      databaseUrl: (url) => {
        const through = new URL(url);
        through.port = String(line.port);
        return through.href;
      },
      env: PATIENT,
    });
  });
  afterEach(async () => {
    for (const session of sessions) session.release(true);
    sessions.clear();
    line.accept();
    await alerts.cancelAll();
  });
  afterAll(async () => {
    await alerts.stop();
    await line.close();
    await postgres.stop();
    rmSync(folder, { recursive: true });
  });

  test('somebody holds a lock that the archive waits for', async () => {
    const { cluster } = alerts;
    const trace = markFile(folder);
    const gate = markFile(folder);
    writeFileSync(trace, '');
    // In the middle of a step: between two of them a run waits for its checkpoint, and so for the lock.
    const burst = { atStep: 0, then: 'silent', until: gate, burst: BURST, trace } as const;
    for (let n = 0; n < BURSTS; n++)
      await alerts.begin({ steps: 1, events: 2_000, eventMs: 100, ...burst });
    await waitUntil(() => readFileSync(trace, 'utf8').split('\n').length > BURSTS, {
      timeoutMs: WAIT_MS,
      what: 'the steps to begin',
    });
    // What a migration, or somebody at a console, may do.
    const holder = await openSession();
    await holder.query('BEGIN; LOCK TABLE events IN EXCLUSIVE MODE');
    writeFileSync(gate, '');
    await alerts.fire('MillraceArchiveLag', 'MillraceUnarchivedEvents');
    await endNamedSession(cluster, 'MillraceArchiveLag');
    await alerts.end('MillraceArchiveLag', 'MillraceUnarchivedEvents');
  });

  test('somebody takes such a lock again and again: ends are slow', async () => {
    const { cluster } = alerts;
    const holder = await openSession();
    const job = holder
      .query(
        `DO $$ BEGIN LOOP
           LOCK TABLE events IN EXCLUSIVE MODE; PERFORM pg_sleep(1.6);
           COMMIT; PERFORM pg_sleep(0.1);
         END LOOP; END $$`,
      )
      .catch(() => undefined);
    const runs = keepDoing(() => alerts.begin(SHORT), 300);
    await alerts.fire('MillraceSlowEnds');
    await waitUntil(
      () =>
        endNamedSession(cluster, 'MillraceArchiveLag').then(
          () => true,
          () => false,
        ),
      { timeoutMs: WAIT_MS, what: 'a moment in which somebody waits for it' },
    );
    await job;
    await alerts.end('MillraceSlowEnds');
    await runs();
  });

  test('a session listens and does not read', async () => {
    const { cluster } = alerts;
    const listener = await openSession();
    await listener.query('LISTEN anything');
    await listener.query('BEGIN');
    await listener.query('SELECT 1');
    await cluster.pool.query(
      `SELECT pg_notify('filler', repeat('x', 7000) || n) FROM generate_series(1, 30) n`,
    );
    await alerts.fire('MillraceNotifyQueueFilling');
    await endNamedSession(cluster, 'MillraceNotifyQueueFilling');
    await alerts.end('MillraceNotifyQueueFilling');
  });

  test('Postgres cannot be reached', async () => {
    line.refuse();
    line.cut();
    await alerts.fire('MillracePostgresAway', 'MillraceSweeperStopped');
    line.accept();
    await alerts.end('MillracePostgresAway', 'MillraceSweeperStopped');
  });
});
