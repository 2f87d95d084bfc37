/**
 * Loads scripts/*.lua once and runs them by SHA. A script is a file, not a template string, so that
 * editors, linters and `redis-cli --eval` can read it. Its header `--! keys: a, b` is the signature:
 * a missing header fails at start, a wrong number of keys fails at the call, before Redis.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from './connect.ts';

const NAMES = [
  'list-fill',
  'log-append',
  'log-archived',
  'log-cancel',
  'log-close',
  'log-reopen',
  'log-take',
  'log-tell',
] as const;
export type ScriptName = (typeof NAMES)[number];

export interface Scripts {
  run(
    name: ScriptName,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown>;
}

interface Script {
  body: string;
  sha: string;
  keyCount: number;
}

/** As the scripts that publish declare it, and what a cluster makes of it. */
const PUBLISH = `local PUBLISH = 'PUBLISH'`;

function load(name: ScriptName, sharded: boolean): Script {
  const text = readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
  const body = sharded ? text.replace(PUBLISH, `local PUBLISH = 'SPUBLISH'`) : text;
  const header = /^--! keys: (.+)$/m.exec(body)?.[1];
  if (header === undefined) throw new Error(`${name}.lua has no "--! keys:" header`);
  return {
    body,
    sha: createHash('sha1').update(body).digest('hex'),
    keyCount: header.split(',').length,
  };
}

/** @param sharded publish on the shard that has the channel's slot, instead of over all nodes of a cluster */
export function createScripts(redis: Redis, sharded = false): Scripts {
  const loaded = new Map(NAMES.map((name) => [name, load(name, sharded)] as const));
  return {
    async run(name, keys, args) {
      const script = loaded.get(name);
      if (script?.keyCount !== keys.length) throw new Error(`${name}.lua: wrong number of keys`);
      try {
        return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
      } catch (cause) {
        // Redis restarted and lost its script cache: send the body once, then SHA works again.
        if (!(cause instanceof Error) || !cause.message.startsWith('NOSCRIPT')) throw cause;
        return redis.eval(script.body, keys.length, ...keys, ...args);
      }
    },
  };
}
