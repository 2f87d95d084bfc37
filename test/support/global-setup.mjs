/**
 * Starts what the tests share before the first one. Plain JavaScript, because Jest loads this file
 * with Node itself; tsx loads the rest.
 */
import { tsImport } from 'tsx/esm/api';

export default async function setUp() {
  // api-setup.mjs calls it as well.
  if (globalThis.millraceTestServers !== undefined) return;
  endWithParent();
  const { startSharedServers } = await tsImport('./shared-servers.ts', import.meta.url);
  const servers = await startSharedServers();
  // Jest's workers get the environment of this process as it is now.
  process.env.TEST_POSTGRES_URL = servers.postgresUrl;
  process.env.TEST_REDIS_URL = servers.redisUrl;
  process.env.TEST_JEST_PID = String(process.pid);
  globalThis.millraceTestServers = servers;
}

/**
 * When `npm test` is killed there is nobody to read the results. It started this process as the leader
 * of a group, which holds Jest's workers too: end them all, and each one's reaper cleans up.
 */
function endWithParent() {
  const parent = Number(process.env.TEST_PARENT_PID);
  if (!(parent > 0)) return;
  setInterval(() => {
    if (process.ppid !== parent) process.kill(-process.pid, 'SIGKILL');
  }, 1_000).unref();
}
