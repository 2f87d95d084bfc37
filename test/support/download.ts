/**
 * What tests need and npm does not bring: made once in node_modules/.cache, then found. It is made under another
 * name and moved, so that what is there is whole, and two test files may make it at once.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/millrace-tests/', import.meta.url));

/** Why something cannot be had on this machine: the test says so and is skipped. */
export class UnavailableError extends Error {
  override name = 'UnavailableError';
}

/**
 * @param name says what it is, with its version
 * @param make fills the folder it is given
 * @returns the folder
 */
export async function cached(
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(CACHE, name);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    await make(unfinished);
    if (!existsSync(folder)) renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}
