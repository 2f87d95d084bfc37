/** Queries of the server's own routes (HTTP.md, 3.6). */
import { z } from 'zod';
import { QueryFlag } from './common.ts';

export const OkQuery = z.object({ check_db: QueryFlag.default(false) });
/** What is removed; other keys are ignored, as by the official server. */
export const TruncateBody = z.object({
  runs: z.boolean().default(false),
  threads: z.boolean().default(false),
  assistants: z.boolean().default(false),
  checkpointer: z.boolean().default(false),
  store: z.boolean().default(false),
});

export const MetricsQuery = z.object({ format: z.enum(['prometheus', 'json']).optional() });
