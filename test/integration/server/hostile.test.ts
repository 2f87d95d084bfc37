/** Clients that mean harm below HTTP: huge headers and bodies, deep JSON, slow senders, thousands of sockets, secrets in answers. */
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { readConfig } from '../../../src/config.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const SOCKETS = 2_000;
const SECRET = 'sesame-0pen-secret';

let app: TestServer;
let port: number;
beforeAll(async () => {
  app = await startTestServer({
    redis: false,
    worker: false,
    environment: { WEBHOOK_SECRET: `whsec_${Buffer.from(SECRET).toString('base64')}` },
  });
  port = Number(new URL(app.url).port);
});
afterAll(() => app.stop());

/** What comes back for raw bytes, until the server closes or `until` matches. */
async function raw(bytes: string | Buffer, until = /\r\n\r\n/): Promise<string> {
  const socket = createConnection({ port, host: '127.0.0.1' });
  let answer = '';
  let closed = false;
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.on('close', () => (closed = true));
  socket.write(bytes);
  await waitUntil(() => closed || until.test(answer), { timeoutMs: 20_000, what: 'an answer' });
  socket.destroy();
  return answer;
}

const alive = async (): Promise<void> => {
  expect((await app.call('GET', '/ok')).status).toBe(200);
};

test('headers of a megabyte are refused with 431', async () => {
  const answer = await raw(
    `GET /ok HTTP/1.1\r\nhost: x\r\nx-big: ${'a'.repeat(1_000_000)}\r\n\r\n`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  await alive();
});

test.each(['//', 'http://[', '/threads/%/stream/events', '/\\\\'])(
  'an upgrade of %s is refused, and ends nothing',
  async (path) => {
    const headers =
      'host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==';
    expect(await raw(`GET ${path} HTTP/1.1\r\n${headers}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 40[04] /);
    await alive();
  },
);

test.each([
  ['a request smuggled by two lengths', 'content-length: 4\r\ntransfer-encoding: chunked'],
  ['a length that is no number', 'content-length: 1e3'],
  ['two lengths', 'content-length: 4\r\ncontent-length: 5'],
])('%s is refused with 400', async (_what, headers) => {
  expect(await raw(`POST /threads HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n0\r\n\r\n`)).toMatch(
    /^HTTP\/1\.1 400 /,
  );
  await alive();
});

test('JSON of a million levels is refused with 400, in no time', async () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
  ] as const) {
    const levels = 1_000_000;
    const body = `{"metadata":${open.repeat(levels)}1${close.repeat(levels)}}`;
    const from = performance.now();
    const answer = await app.call('POST', '/threads', body);
    expect([400, 413]).toContain(answer.status);
    // It would take minutes if each level cost the ones below it.
    expect(performance.now() - from).toBeLessThan(20_000);
  }
  await alive();
});

test('a body of 100 MB is refused with 413, without being kept', async () => {
  const before = process.memoryUsage().rss;
  const chunk = Buffer.alloc(1024 * 1024, 'a');
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (sent++ < 100) controller.enqueue(chunk);
      else controller.close();
    },
  });
  const response = await fetch(`${app.url}/threads`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    duplex: 'half',
  });
  expect(response.status).toBe(413);
  expect(await response.text()).toContain('BODY_BYTES_MAX');
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
  await alive();
});

test('thousands of sockets that send half a request, or nothing, hold up nobody', async () => {
  const sockets: Socket[] = [];
  let open = 0;
  for (let i = 0; i < SOCKETS; i++) {
    const socket = createConnection({ port, host: '127.0.0.1' }, () => {
      open++;
      if (i % 2 === 0) socket.write('POST /threads HTTP/1.1\r\nhost: x\r\ncontent-le');
    });
    socket.on('error', () => undefined);
    sockets.push(socket);
  }
  try {
    await waitUntil(() => open === SOCKETS, { timeoutMs: 20_000, what: 'all sockets to be open' });
    const from = performance.now();
    await alive();
    expect((await app.call('POST', '/threads', {})).status).toBe(200);
    // Far less than the half requests are given.
    expect(performance.now() - from).toBeLessThan(20_000);
    // They are let go in the end: headers have a minute, whole requests five.
    expect(app.server.http.headersTimeout).toBeLessThanOrEqual(60_000);
    expect(app.server.http.requestTimeout).toBeLessThanOrEqual(300_000);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test('keys like __proto__ are data, here and in what is stored', async () => {
  const body =
    '{"metadata":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}}';
  const made = await app.call('POST', '/threads', body);
  expect(made.status).toBe(200);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  for (const path of ['__proto__', 'constructor', '..%2f..%2fetc%2fpasswd', '%00', '%ff'])
    for (const at of [`/threads/${path}`, `/assistants/${path}`, `/runs/${path}/stream`])
      expect([400, 404, 405]).toContain((await app.call('GET', at)).status);
});

test('no secret is in an answer or in an error', async () => {
  const { password } = new URL(app.core.config.DATABASE_URL);
  for (const path of [
    '/info',
    '/health',
    '/metrics',
    '/openapi.json',
    '/ok?check_db=1',
    '/nothing',
  ]) {
    const { text } = await app.call('GET', path);
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(Buffer.from(SECRET).toString('base64'));
    if (password !== '') expect(text).not.toContain(password);
    expect(text).not.toMatch(/postgres(ql)?:\/\/|redis:\/\//);
  }
  for (const url of [
    `mysql://me:${SECRET}@db/x`,
    `postgres//me:${SECRET}@db/x`,
    `x://me:a/${SECRET}@db/x`,
    `x://db?password=${SECRET}`,
  ])
    expect(() => readConfig({ DATABASE_URL: url })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(SECRET) as string }) as Error,
    );
});
