/** A server that shuts down opens a connection and refuses it in one packet: an error, never the end of the process. */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createPool, isTransient, transaction } from '../../../src/postgres/pool.ts';

/** AuthenticationOk, ReadyForQuery. */
const OPENED = Buffer.from('520000000800000000' + '5a0000000549', 'hex');
const REFUSED = errorResponse(
  'SFATAL',
  'C57P01',
  'Mterminating connection due to unexpected postmaster exit',
);

function errorResponse(...fields: string[]): Buffer {
  const body = Buffer.from(`${fields.join('\0')}\0\0`);
  const head = Buffer.alloc(5, 'E');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

let server: Server;
let opened: number;
beforeEach(async () => {
  opened = 0;
  server = createServer((socket: Socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      opened++;
      socket.end(Buffer.concat([OPENED, REFUSED]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
});

test.each(['transaction', 'statement'])(
  '[12c] a %s there fails, and may be tried again',
  async (what) => {
    const { port } = server.address() as AddressInfo;
    const pool = createPool(
      { url: `postgres://user@127.0.0.1:${port}/db`, connectionsMax: 1, name: 'test' },
      () => undefined,
    );
    const attempt = async (): Promise<unknown> => {
      if (what === 'statement') await pool.query('SELECT 1');
      else await transaction(pool, (db) => db.query('SELECT 1'));
      return undefined;
    };
    for (let i = 1; i <= 3; i++) {
      const error = await attempt().catch((thrown: unknown) => thrown);
      expect(isTransient(error)).toBe(true);
      expect(opened).toBe(i);
    }
    await pool.end();
  },
);
