/**
 * A TCP port that nobody listens on at this moment. Another process may take it first: bind soon, retry. Below the range
 * that systems give out themselves (32768 and up): there, between the look and the bind, any connection may get it.
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const LOWEST = 12_000;
const HIGHEST = 32_000;
/** Tries before the system is asked for one after all. */
const TRIES_MAX = 50;
/** The last that were given out: whoever has one may be about to bind it. */
const GIVEN_MAX = 1_000;
const given = new Set<number>();

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const wanted = randomInt(LOWEST, HIGHEST);
    if (given.has(wanted)) continue;
    remember(wanted);
    const port = await bound(wanted).catch(() => undefined);
    if (port !== undefined) return port;
  }
  return await bound(0);
}

function remember(port: number): void {
  given.add(port);
  for (const oldest of given) {
    if (given.size <= GIVEN_MAX) return;
    given.delete(oldest);
  }
}

/** @returns the port once it was bound and let go. Rejects when it is taken */
async function bound(wanted: number): Promise<number> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => {
        resolve(port);
      });
    });
  });
}
