/**
 * A network that can fail, between a client and a server: slow, cut, refusing, silent in one direction.
 * Faults apply to the connections that are open and to new ones.
 */
import { createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** `up`: client to server. `down`: server to client, the replies. */
export type Direction = 'up' | 'down';

export interface TcpProxy {
  readonly port: number;
  /** Open client connections. */
  readonly connections: number;
  /**
   * Every chunk waits `ms` in each direction, in order. 0: no delay.
   * @param of only on connections whose client has begun with this text, e.g. its name
   */
  delay(ms: number, of?: string): void;
  /** Breaks all open connections (RST). New ones are served. */
  cut(): void;
  /** New connections are broken at once, as if nobody listened; open ones stay. */
  refuse(): void;
  accept(): void;
  /** Holds the bytes of one direction back; with `flow` they arrive. The connection stays up. */
  hold(direction: Direction): void;
  flow(direction: Direction): void;
  /**
   * Throws the bytes of one direction away, from now until `keep`. Half a message may be lost: cut
   * before `keep`, as a real network would.
   */
  lose(direction: Direction): void;
  keep(direction: Direction): void;
  /** Bytes that arrived at the proxy in this direction since it was made. */
  bytes(direction: Direction): number;
  close(): Promise<void>;
}

/** How much of what a client sends first is kept, to know it again. */
const GREETING_LENGTH = 4_096;

interface Line {
  mode: 'flow' | 'hold' | 'lose';
  bytes: number;
  /** Settled and replaced whenever `mode` changes. */
  changed: { promise: Promise<void>; resolve: () => void };
}

/** Listens on a free port of 127.0.0.1. @param target `{ host, port }` of the server */
export async function startTcpProxy(target: { host?: string; port: number }): Promise<TcpProxy> {
  const lines: Record<Direction, Line> = { up: newLine(), down: newLine() };
  const sockets = new Set<Socket>();
  let clients = 0;
  let refusing = false;
  let delayMs = 0;
  let delayed = '';

  const server = createServer((client) => {
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = createConnection({ host: target.host ?? '127.0.0.1', port: target.port });
    clients++;
    client.once('close', () => {
      clients--;
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.resetAndDestroy());
      socket.once('close', () => {
        sockets.delete(socket);
        if (!other.destroyed) other.end();
      });
    }
    let greeting = '';
    const delayNow = (): number => (greeting.includes(delayed) ? delayMs : 0);
    void carry(client, upstream, lines.up, (chunk) => {
      if (greeting.length < GREETING_LENGTH) greeting += chunk.toString('latin1');
      return delayNow();
    });
    void carry(upstream, client, lines.down, delayNow);
  });

  /** One chunk at a time, so order and back-pressure are those of the two sockets. */
  async function carry(
    from: Socket,
    to: Socket,
    line: Line,
    delayOf: (chunk: Buffer) => number,
  ): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        line.bytes += chunk.length;
        const waitMs = delayOf(chunk);
        if (waitMs > 0) await pause(waitMs);
        while (line.mode === 'hold' && !to.destroyed) await line.changed.promise;
        if (line.mode === 'lose') continue;
        if (to.destroyed) return;
        if (!to.write(chunk)) await settled(to);
      }
      to.end();
    } catch {
      to.destroy();
    }
  }

  function setMode(direction: Direction, mode: Line['mode']): void {
    const line = lines[direction];
    line.mode = mode;
    line.changed.resolve();
    line.changed = newSignal();
  }

  function cut(): void {
    for (const socket of sockets) socket.resetAndDestroy();
    // Wakes what is held for a connection that is gone.
    for (const direction of ['up', 'down'] as const) setMode(direction, lines[direction].mode);
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    port,
    get connections() {
      return clients;
    },
    delay: (ms, of = '') => {
      delayMs = ms;
      delayed = of;
    },
    cut,
    refuse: () => {
      refusing = true;
    },
    accept: () => {
      refusing = false;
    },
    hold: (direction) => {
      setMode(direction, 'hold');
    },
    flow: (direction) => {
      setMode(direction, 'flow');
    },
    lose: (direction) => {
      setMode(direction, 'lose');
    },
    keep: (direction) => {
      setMode(direction, 'flow');
    },
    bytes: (direction) => lines[direction].bytes,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        cut();
      }),
  };
}

function newLine(): Line {
  return { mode: 'flow', bytes: 0, changed: newSignal() };
}

function newSignal(): Line['changed'] {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Room to write again, or the end. */
function settled(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', () => {
      resolve();
    });
  });
}
