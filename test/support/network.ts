/**
 * A machine of its own for a client: a network namespace behind a pair of virtual Ethernet devices, from which
 * the client can vanish without a word. All of it goes with the process that holds the namespace.
 */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { startProcess } from './processes.ts';
import type { TestProcess } from './processes.ts';
import { findProgram, onPath } from './programs.ts';

export interface OtherMachine {
  /** Where it finds servers of this machine that listen on every address. */
  readonly hostAddress: string;
  /** Its own address. */
  readonly address: string;
  start(file: string, args: string[], readyLine: RegExp): Promise<TestProcess>;
  /** From now on none of its packets arrives anywhere, no FIN and no RST either. */
  vanish(): void;
  stop(): Promise<void>;
}

/** Why there can be no other machine here; undefined when there can. */
export function whyNoOtherMachine(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (findProgram('ip', 'iproute2') === undefined) return 'no ip, install iproute2';
  for (const program of ['unshare', 'nsenter'])
    if (onPath(program) === undefined) return `no ${program}, install util-linux`;
  const name = deviceName();
  try {
    execFileSync('unshare', ['-n', 'ip', 'link', 'add', name, 'type', 'veth'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'no network namespaces or no veth';
  }
}

const deviceName = (): string => `mr${randomInt(2 ** 30).toString(36)}`;

export async function startOtherMachine(): Promise<OtherMachine> {
  const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
  const holder = await startProcess('unshare', ['-n', 'sh', '-c', 'echo there; exec sleep 600'], {
    readyLine: /there/,
  });
  const inside = ['-t', String(holder.pid), '-n'];
  const ipThere = (...args: string[]): void =>
    void execFileSync('nsenter', [...inside, 'ip', ...args], { stdio: 'pipe' });
  const [here, there] = [deviceName(), deviceName()];
  // Of 10.224.0.0/11, which few use: four addresses a machine.
  const net = `10.${224 + randomInt(32)}.${randomInt(256)}`;
  const last = 4 * randomInt(64);
  const [hostAddress, address] = [`${net}.${last + 1}`, `${net}.${last + 2}`];
  try {
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there);
    ip('link', 'set', there, 'netns', String(holder.pid));
    ip('addr', 'add', `${hostAddress}/30`, 'dev', here);
    ip('link', 'set', here, 'up');
    ipThere('addr', 'add', `${address}/30`, 'dev', there);
    ipThere('link', 'set', there, 'up');
  } catch (error) {
    await holder.kill();
    throw error;
  }
  return {
    hostAddress,
    address,
    start: (file, args, readyLine) =>
      startProcess('nsenter', [...inside, file, ...args], { readyLine }),
    vanish: () => {
      // Not the device: the host would see that nobody is there, and give up at once.
      ipThere('route', 'add', 'blackhole', `${hostAddress}/32`);
    },
    // Processes end before their network, so no FIN goes astray.
    stop: () => holder.kill(),
  };
}
