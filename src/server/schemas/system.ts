/** Queries of the server's own routes (HTTP.md, 3.6). */
import { z } from 'zod';
import { QueryFlag } from './common.ts';

export const OkQuery = z.object({ check_db: QueryFlag.default(false) });
export const MetricsQuery = z.object({ format: z.enum(['prometheus', 'json']).optional() });
