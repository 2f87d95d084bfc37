/**
 * Starts what the tests share before the first one. Plain JavaScript, because Jest loads this file
 * with Node itself; tsx loads the rest.
 */
import { tsImport } from 'tsx/esm/api';

export default async function setUp() {
  const { startSharedServers } = await tsImport('./shared-servers.ts', import.meta.url);
  const servers = await startSharedServers();
  // Jest's workers get the environment of this process as it is now.
  process.env.TEST_POSTGRES_URL = servers.postgresUrl;
  process.env.TEST_REDIS_URL = servers.redisUrl;
  globalThis.millraceTestServers = servers;
  endWithParent();
}

/** When `npm test` is killed there is nobody to read the results: end, and the servers with it. */
function endWithParent() {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, 1_000).unref();
}
