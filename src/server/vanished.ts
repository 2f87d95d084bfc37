/**
 * Clients that vanished without a word: a laptop that sleeps, a cable, a NAT that forgot. TCP keep-alive finds them
 * only while nothing is under way, and a stream always has a heartbeat under way: the kernel then sends it again for
 * a quarter of an hour (tcp_retries2) before it says anything. So its table of connections is read, which tells how
 * often in a row it has sent without any answer. A reader that is merely slow does answer. Linux only; elsewhere the
 * kernel's own limit stays.
 */
import { readFile } from 'node:fs/promises';
import type { Server as HttpServer } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Socket } from 'node:net';
import { endianness } from 'node:os';

const LOOK_MS = 2_000;
/** In a row and without an answer; each waits twice as long as the one before: together 15 round-trip limits, at least 3 s. */
const RESENDS_MAX = 4;
const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'];
/** sl local:port remote:port st tx:rx timer:when resends …, of those whose timer (1) is that for sending again. */
const ROW =
  /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]{2} [0-9A-F:]+ 01:[0-9A-F]+ ([0-9A-F]+) /;

/** @returns what stops it. @param onVanished told how many were let go at once */
export function watchVanished(http: HttpServer, onVanished: (count: number) => void): () => void {
  const sockets = new Set<Socket>();
  let looking = false;
  http.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });

  async function look(): Promise<void> {
    const gone = new Set<string>();
    const tables = await Promise.all(
      TABLES.map((file) => readFile(file, 'latin1').catch(() => '')),
    );
    for (const table of tables) for (const connection of unanswered(table)) gone.add(connection);
    if (gone.size === 0) return;
    let count = 0;
    for (const socket of sockets) {
      const { localPort, remoteAddress, remotePort } = socket;
      if (remoteAddress === undefined) continue;
      if (!gone.has(`${localPort} ${plainAddress(remoteAddress)} ${remotePort}`)) continue;
      // Not reset: a client that is back soon finds the connection closed, and comes again.
      socket.destroy();
      count++;
    }
    if (count > 0) onVanished(count);
  }

  const timer = setInterval(() => {
    if (looking || sockets.size === 0) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  }, LOOK_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}

/**
 * Connections whose peer has not answered {@link RESENDS_MAX} sendings in a row.
 * @param table text of /proc/net/tcp or tcp6
 * @returns `localPort remoteAddress remotePort`, the address as {@link plainAddress} writes it
 */
export function unanswered(table: string): string[] {
  return table.split('\n').flatMap((line) => {
    const [, local = '', address = '', port = '', resends = ''] = ROW.exec(line) ?? [];
    if (address === '' || Number.parseInt(resends, 16) < RESENDS_MAX) return [];
    return [`${Number.parseInt(local, 16)} ${addressOf(address)} ${Number.parseInt(port, 16)}`];
  });
}

/** The kernel writes an address as 32-bit words in the machine's own byte order, in hexadecimal digits. */
function addressOf(words: string): string {
  const bytes = Buffer.from(words, 'hex');
  if (endianness() === 'LE') bytes.swap32();
  if (bytes.length === 4) return plainAddress(bytes.join('.'));
  return plainAddress((bytes.toString('hex').match(/..../g) ?? []).join(':'));
}

/** One way of writing for all: IPv6, shortened, and IPv4 as a part of it. */
export function plainAddress(address: string): string {
  const [bare = ''] = address.split('%');
  return new URL(`http://[${isIPv6(bare) ? bare : `::ffff:${bare}`}]`).hostname;
}
