/**
 * The two words between a process of `--processes` and its supervisor. Not signals: a terminal sends SIGINT to the whole group, and
 * a second signal ends a process at once.
 */
import cluster from 'node:cluster';

export const READY = 'ready';
export const STOP = 'stop';

/** Tells the supervisor, when there is one. */
export function tellReady(): void {
  if (cluster.isWorker) process.send?.(READY);
}

/** Calls back once when the supervisor asks this process to stop. */
export function onStopAsked(stop: () => void): void {
  if (!cluster.isWorker) return;
  const listen = (message: unknown): void => {
    if (message !== STOP) return;
    process.off('message', listen);
    stop();
  };
  process.on('message', listen);
}
