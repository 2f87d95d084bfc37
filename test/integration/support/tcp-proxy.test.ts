import { connect, createServer, type Server, type Socket } from 'node:net';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { waitUntil } from '../../support/wait-until.ts';

let echo: Server;
let proxy: TcpProxy;
let received = '';
beforeEach(async () => {
  received = '';
  echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      received += chunk.toString();
      socket.write(chunk);
    });
  });
  await new Promise<void>((done) => echo.listen(0, '127.0.0.1', done));
  proxy = await startTcpProxy({ port: (echo.address() as { port: number }).port });
});
afterEach(async () => {
  await proxy.close();
  await new Promise((done) => echo.close(done));
});

interface Client {
  socket: Socket;
  got: string;
  closed: boolean;
}
function open(): Client {
  const client: Client = { socket: connect(proxy.port, '127.0.0.1'), got: '', closed: false };
  client.socket.on('error', () => undefined);
  client.socket.on('data', (chunk) => (client.got += chunk.toString()));
  client.socket.on('close', () => (client.closed = true));
  return client;
}
const within = { timeoutMs: 20_000 };

test('carries both ways and counts', async () => {
  const client = open();
  client.socket.write('ping');
  await waitUntil(() => client.got === 'ping', within);
  expect(proxy.connections).toBe(1);
  expect([proxy.bytes('up'), proxy.bytes('down')]).toEqual([4, 4]);
  client.socket.end();
  await waitUntil(() => proxy.connections === 0, within);
});

test('cut breaks what is open and serves what is new', async () => {
  const client = open();
  client.socket.write('a');
  await waitUntil(() => client.got === 'a', within);
  proxy.cut();
  await waitUntil(() => client.closed, within);
  const next = open();
  next.socket.write('b');
  await waitUntil(() => next.got === 'b', within);
});

test('refuse breaks new connections only', async () => {
  const client = open();
  client.socket.write('a');
  await waitUntil(() => client.got === 'a', within);
  proxy.refuse();
  const next = open();
  await waitUntil(() => next.closed, within);
  client.socket.write('b');
  await waitUntil(() => client.got === 'ab', within);
});

test('lose drops the replies but not the requests', async () => {
  const client = open();
  proxy.lose('down');
  client.socket.write('a');
  await waitUntil(() => received === 'a' && proxy.bytes('down') === 1, within);
  proxy.keep('down');
  client.socket.write('b');
  await waitUntil(() => client.got === 'b', within);
});

test('hold keeps one direction back, and cut frees it', async () => {
  const client = open();
  proxy.hold('up');
  client.socket.write('a');
  await waitUntil(() => proxy.bytes('up') === 1, within);
  expect(received).toBe('');
  proxy.flow('up');
  await waitUntil(() => client.got === 'a', within);
  proxy.hold('down');
  client.socket.write('b');
  await waitUntil(() => proxy.bytes('down') === 2, within);
  proxy.cut();
  await waitUntil(() => client.closed, within);
  expect(client.got).toBe('a');
});

test('delay takes at least that long', async () => {
  proxy.delay(60);
  const client = open();
  const start = performance.now();
  client.socket.write('a');
  await waitUntil(() => client.got === 'a', within);
  expect(performance.now() - start).toBeGreaterThanOrEqual(115);
});
