/**
 * One Postgres and one Redis for a whole jest run: the given URLs, else containers when a Docker
 * engine answers, else local binaries. Local ones and their folders are gone when this process is.
 */
import { createConnection } from 'node:net';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';

export interface SharedServers {
  postgresUrl: string;
  redisUrl: string;
  stop(): Promise<void>;
}

const DOCKER_ANSWER_MS_MAX = 2_000;
const POSTGRES_IMAGE = 'postgres:18-alpine';
const REDIS_IMAGE = 'redis:8-alpine';
/** Several test files at once, each with pools of its own. */
const MAX_CONNECTIONS = '300';

export async function startSharedServers(): Promise<SharedServers> {
  const given = {
    postgres: process.env['TEST_POSTGRES_URL'],
    redis: process.env['TEST_REDIS_URL'],
  };
  const docker =
    (given.postgres === undefined || given.redis === undefined) && (await dockerAnswers());
  const [postgres, redis] = await settleBoth(
    given.postgres === undefined
      ? docker
        ? startPostgresContainer()
        : startPostgres({ settings: { max_connections: MAX_CONNECTIONS } })
      : Promise.resolve(notOurs(given.postgres)),
    given.redis === undefined
      ? docker
        ? startRedisContainer()
        : startRedis()
      : Promise.resolve(notOurs(given.redis)),
  );
  return {
    postgresUrl: postgres.url,
    redisUrl: redis.url,
    stop: async () => {
      await Promise.all([postgres.stop(), redis.stop()]);
    },
  };
}

interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

function notOurs(url: string): Server {
  return { url, stop: () => Promise.resolve() };
}

/** When one of two does not start, the other is stopped again. */
async function settleBoth(a: Promise<Server>, b: Promise<Server>): Promise<[Server, Server]> {
  const results = await Promise.allSettled([a, b]);
  const [first, second] = results;
  if (first.status === 'fulfilled' && second.status === 'fulfilled')
    return [first.value, second.value];
  for (const result of results) if (result.status === 'fulfilled') await result.value.stop();
  throw first.status === 'rejected' ? first.reason : (second as PromiseRejectedResult).reason;
}

/** A Docker client without an engine is common, and a dead engine answers late or never: ask its socket first. */
async function dockerAnswers(): Promise<boolean> {
  const host = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  const target = host.startsWith('unix://')
    ? { path: host.slice('unix://'.length) }
    : { host: new URL(host).hostname, port: Number(new URL(host).port) || 2375 };
  return await new Promise((resolve) => {
    const socket = createConnection({ ...target, timeout: DOCKER_ANSWER_MS_MAX });
    const answer = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', () => socket.write('GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n'));
    socket.once('data', (chunk) => {
      answer(/^HTTP\/1\.\d 200/.test(chunk.toString()));
    });
    socket.once('timeout', () => {
      answer(false);
    });
    socket.once('error', () => {
      answer(false);
    });
    socket.once('close', () => {
      answer(false);
    });
  });
}

async function startPostgresContainer(): Promise<Server> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = await new GenericContainer(POSTGRES_IMAGE)
    .withEnvironment({ POSTGRES_PASSWORD: 'test' })
    .withCommand(['-c', 'fsync=off', '-c', `max_connections=${MAX_CONNECTIONS}`])
    .withExposedPorts(5432)
    // The image starts a first time for its own set-up: the second "ready" counts.
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .start();
  const address = `${container.getHost()}:${container.getMappedPort(5432)}`;
  return {
    url: `postgres://postgres:test@${address}/postgres`,
    stop: async () => {
      await container.stop();
    },
  };
}

async function startRedisContainer(): Promise<Server> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = await new GenericContainer(REDIS_IMAGE)
    .withCommand(['redis-server', '--save', '', '--maxmemory-policy', 'noeviction'])
    .withExposedPorts(6379)
    .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
    .start();
  return {
    url: `redis://${container.getHost()}:${container.getMappedPort(6379)}`,
    stop: async () => {
      await container.stop();
    },
  };
}
