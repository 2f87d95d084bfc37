/** tsc copies no .sql, .lua and .html: this does. */
import { cpSync, readdirSync } from 'node:fs';
import { extname, join } from 'node:path';

for (const path of readdirSync('src', { recursive: true }))
  if (['.sql', '.lua', '.html'].includes(extname(path)))
    cpSync(join('src', path), join('dist', path));
