/** The versions that /info tells. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { z } from 'zod';

const Package = z.object({ version: z.string() });

const versionIn = (path: string | URL): string =>
  Package.parse(JSON.parse(readFileSync(path, 'utf8'))).version;

// From src/server and from dist/server it is two folders up.
export const millraceVersion = versionIn(new URL('../../package.json', import.meta.url));

/** undefined: LangGraph.js is not installed. It is not loaded for this. */
export const langGraphVersion = installedVersion('@langchain/langgraph');

function installedVersion(name: string): string | undefined {
  try {
    return versionIn(createRequire(import.meta.url).resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}
