/** tsc copies no .sql and .lua: this does. */
import { cpSync } from 'node:fs';

for (const folder of ['postgres/migrations', 'redis/scripts'])
  cpSync(`src/${folder}`, `dist/${folder}`, { recursive: true });
