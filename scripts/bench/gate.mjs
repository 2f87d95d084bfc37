/** A file that a run of the emitter graph waits for: it holds until the bench is ready. */
import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function createGate(folder) {
  const path = join(folder, `gate-${randomUUID()}`);
  return {
    path,
    open: () => writeFileSync(path, ''),
    remove: () => rmSync(path, { force: true }),
  };
}
