/**
 * A crowd: so many connections to one server process. In the suite as many as take few seconds; by hand all that the
 * limit of open files allows: `CROWD=10000 npm run test:fault -- --testPathPatterns crowd` (ulimit -n 20000).
 */
import { readFileSync, readdirSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { openVisitor } from '../support/visitor.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';

const STREAMS = Number(process.env['CROWD'] ?? 1_500);
const SOCKETS = Math.ceil(STREAMS / 20);
/** Connections that are being opened at once: below the usual backlog. */
const AT_ONCE = 100;
/** Measured: 19 KiB. */
const KIB_MAX = 128;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ env: PATIENT });
});
afterAll(() => cluster.stop());

const UPGRADE =
  'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** Bare bytes: ten thousand of anything else would measure the client. @returns once the answer has begun */
async function open(path: string, headers: string, status: string): Promise<Socket> {
  const { hostname, port } = new URL(cluster.url);
  const socket = createConnection({ host: hostname, port: Number(port) });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => {
      reject(new Error('closed before an answer'));
    });
    socket.once('data', (chunk) => {
      const line = chunk.toString('latin1').split('\r\n', 1)[0] ?? '';
      if (line.startsWith(`HTTP/1.1 ${status} `)) resolve();
      else reject(new Error(line));
    });
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`);
  });
  socket.resume();
  return socket;
}

async function openMany(count: number, one: () => Promise<Socket>, into: Socket[]): Promise<void> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) into.push(await one());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

function serverPid(): number {
  const pid = cluster.servers[0]?.process.pid;
  if (pid === undefined) throw new Error('no server');
  return pid;
}
const residentKib = (): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${serverPid()}/status`, 'utf8'))?.[1]);
const openFiles = (): number => readdirSync(`/proc/${serverPid()}/fd`).length;

const onLinux = process.platform === 'linux' ? test : test.skip;
onLinux(
  `${STREAMS} streams and ${SOCKETS} WebSockets on one server: little memory each, others are answered, all get the end and are let go`,
  async () => {
    const plan = { steps: 2, events: 5, atStep: 1, then: 'silent', forMs: 600_000 } as const;
    const threadId = await cluster.createThread();
    const silent = await cluster.createRun(threadId, plan);
    const files = openFiles();
    const sockets: Socket[] = [];
    let closed = 0;
    try {
      const before = residentKib();
      const stream = `/threads/${threadId}/runs/${silent}/stream`;
      await openMany(STREAMS, () => open(stream, '', '200'), sockets);
      await openMany(
        SOCKETS,
        () => open(`/threads/${threadId}/stream/events`, UPGRADE, '101'),
        sockets,
      );
      for (const socket of sockets) socket.once('close', () => closed++);
      const kib = (residentKib() - before) / sockets.length;
      process.stdout.write(`${sockets.length} connections, ${kib.toFixed(1)} KiB each\n`);
      expect(kib).toBeLessThan(KIB_MAX);

      // Somebody else, in the middle of them.
      const other = await cluster.createThread();
      const runId = await cluster.createRun(other, { steps: 2, events: 20, eventMs: 2 });
      const visitor = openVisitor(`${cluster.url}/threads/${other}/runs/${runId}/stream`);
      await visitor.now.end();
      const evidence = { threadId: other, runId, clients: [visitor.sessions], expected: 40 };
      expect(await violationsIn(cluster, evidence)).toEqual([]);

      // The end of the run is the end of its streams; the WebSockets are of the thread, and stay.
      const path = `/threads/${threadId}/runs/${silent}/cancel?wait=true`;
      expect((await cluster.request('POST', path)).status).toBeLessThan(300);
      for (const socket of sockets.splice(STREAMS)) socket.destroy();
      for (const socket of sockets) socket.end();
      await waitUntil(() => closed === STREAMS + SOCKETS, {
        timeoutMs: 60_000,
        what: 'all connections to be closed',
      });
      await waitUntil(() => openFiles() <= files + 20, {
        timeoutMs: 30_000,
        what: 'the server to have let go of all',
      });
      await waitUntil(
        async () => {
          const { body } = await cluster.request('GET', '/metrics');
          return /^millrace_sse_clients(?:\{.*\})? 0$/m.test(String(body));
        },
        { timeoutMs: 30_000, what: 'no stream to be counted' },
      );
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  },
);
