/**
 * CPU profiles of exactly the work that is measured: the inspector of server and worker is asked to begin and to end.
 * `node --cpu-prof` would add the start, the warm-up and the time of the baselines.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { WebSocket } from 'ws';

/** µs between samples: V8's own 1,000 is too coarse for a piece of half a second. */
const INTERVAL_US = 250;

/** For the node that is to be profiled: an inspector on a free port of this machine. */
export const INSPECT = ['--inspect=127.0.0.1:0'];

async function attach(process) {
  const url = /Debugger listening on (ws:\S+)/.exec(readFileSync(process.log, 'utf8'))?.[1];
  if (url === undefined) throw new Error(`${process.name} has no inspector`);
  const socket = new WebSocket(url, { maxPayload: 512 * 1024 ** 2 });
  await once(socket, 'open');
  let lastId = 0;
  const ask = (method, params = {}) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      socket.on('message', function answer(text) {
        const message = JSON.parse(text);
        if (message.id !== id) return;
        socket.off('message', answer);
        if (message.error) reject(new Error(message.error.message));
        else resolve(message.result);
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
  await ask('Profiler.enable');
  await ask('Profiler.setSamplingInterval', { interval: INTERVAL_US });
  return { ask, close: () => socket.close() };
}

/** @returns around(id, work): the last round of each id is kept, as DIR/<path>-<id>-<process>.cpuprofile */
export function createProfiler(folder, path) {
  return async (id, processes, work) => {
    const attached = await Promise.all(
      processes.filter((one) => one.alive()).map(async (one) => [one.name, await attach(one)]),
    );
    await Promise.all(attached.map(([, { ask }]) => ask('Profiler.start')));
    try {
      return await work();
    } finally {
      for (const [name, { ask, close }] of attached) {
        const { profile } = await ask('Profiler.stop');
        writeFileSync(join(folder, `${path}-${id}-${name}.cpuprofile`), JSON.stringify(profile));
        close();
      }
    }
  };
}
