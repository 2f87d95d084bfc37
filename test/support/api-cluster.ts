/** The deployment of test/e2e/api, one for all its files: two servers, two workers, a load balancer, a LangSmith. */
import { fileURLToPath } from 'node:url';
import { PATIENT, startCluster } from './cluster.ts';
import { startLangSmith } from './langsmith.ts';
import { startRoundRobin } from './round-robin.ts';

const PROJECT = fileURLToPath(new URL('../e2e/api/project/langgraph.json', import.meta.url));

/** Of the default assistant of graph `seen`. */
const DEFAULTS = { seen: { configurable: { from: 'LANGGRAPH_CONFIG' }, context: { lang: 'de' } } };

export interface ApiCluster {
  /** What the tests are told, as environment variables. */
  readonly environment: Record<string, string>;
  stop(): Promise<void>;
}

export async function startApiCluster(): Promise<ApiCluster> {
  const langSmith = await startLangSmith();
  const cluster = await startCluster({
    servers: 2,
    workers: 2,
    env: {
      ...PATIENT,
      LANGGRAPH_CONFIG_PATH: PROJECT,
      LANGGRAPH_CONFIG: JSON.stringify(DEFAULTS),
      WEBHOOK_ALLOW: '127.0.0.1',
      NODE_ENV: 'test',
      LANGSMITH_API_KEY: 'key-of-the-tests',
      LANGSMITH_ENDPOINT: langSmith.url,
    },
  });
  const balancer = await startRoundRobin(cluster.servers.map(({ url }) => url));
  return {
    environment: {
      TEST_API_URL: balancer.url,
      TEST_API_DATABASE_URL: cluster.databaseUrl,
      TEST_API_LANGSMITH_URL: langSmith.url,
    },
    async stop() {
      await balancer.close();
      await cluster.stop();
      await langSmith.stop();
    },
  };
}
