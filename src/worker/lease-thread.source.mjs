/** Runs lease-thread.ts from the sources: a worker thread does not get its parent's TypeScript loader. */
import { tsImport } from 'tsx/esm/api';

await tsImport('./lease-thread.ts', import.meta.url);
