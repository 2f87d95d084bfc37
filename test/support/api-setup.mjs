/** For test/e2e/api: the shared servers, and on top of them one deployment for all files. */
import { tsImport } from 'tsx/esm/api';
import setUpServers from './global-setup.mjs';

export default async function setUp() {
  await setUpServers();
  const { startApiCluster } = await tsImport('./api-cluster.ts', import.meta.url);
  const cluster = await startApiCluster();
  Object.assign(process.env, cluster.environment);
  globalThis.millraceApiCluster = cluster;
}
