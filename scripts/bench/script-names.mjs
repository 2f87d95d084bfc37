/** Names of the Lua scripts behind the SHAs that Redis sees: ours and BullMQ's. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../prepare.mjs';

/** @returns sha1 → name */
export async function scriptNames() {
  const names = new Map();
  const add = (body, name) => names.set(createHash('sha1').update(body).digest('hex'), name);
  const own = join(ROOT, 'dist/redis/scripts');
  for (const file of readdirSync(own).filter((name) => name.endsWith('.lua')))
    add(readFileSync(join(own, file), 'utf8'), file);
  const bullmq = join(ROOT, 'node_modules/bullmq/dist/esm/scripts');
  for (const file of readdirSync(bullmq).filter((name) => /^\w+-\d+\.js$/.test(name))) {
    const module = await import(pathToFileURL(join(bullmq, file)).href);
    for (const script of Object.values(module))
      if (typeof script?.content === 'string') add(script.content, `BullMQ ${script.name}`);
  }
  return names;
}
