/** What a load balancer, an operator and a client ask first. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { open } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { PostgresUnavailableError } from '../postgres-guard.ts';
import { sendJson } from '../respond.ts';
import { OkQuery } from '../schemas/system.ts';
import { langGraphVersion, millraceVersion } from '../versions.ts';
import { queryOf } from './request.ts';

/** Redis must answer within this to count as connected. */
const REDIS_PING_MS = 500;

export function systemRoutes(context: RouteContext): Router {
  const { disabled = [] } = context.http ?? {};
  const { guard, reader, graphs } = context;

  const ok: RequestHandler = async (request, response) => {
    const { check_db: checkDb } = queryOf(OkQuery, request);
    if (checkDb && !(await guard.probe()))
      throw new PostgresUnavailableError('Postgres does not answer');
    sendJson(response, { ok: true });
  };

  const info: RequestHandler = (_request, response) => {
    sendJson(response, {
      version: millraceVersion,
      langgraph_js_version: langGraphVersion,
      context: 'js',
      flags: {
        assistants: !disabled.includes('assistants'),
        crons: true,
        langsmith: traces(context.config),
        // A run's `langsmith_tracer` is traced beside the project of the environment.
        langsmith_tracing_replicas: context.config.langSmith !== undefined,
      },
      graphs: graphs.ids(),
    });
  };

  async function redisStatus(): Promise<string> {
    const { redis } = reader;
    if (redis === undefined) return 'unknown';
    const answer = await Promise.race([
      redis.ping().then(
        () => 'connected',
        (error: unknown) =>
          `unavailable (fallback to memory): ${error instanceof Error ? error.message : String(error)}`,
      ),
      new Promise<string>((resolve) => {
        setTimeout(() => {
          resolve('unavailable (fallback to memory): no answer');
        }, REDIS_PING_MS).unref();
      }),
    ]);
    return answer;
  }

  /**
   * As documented, with one word more: Redis is the speed, so without it the service is `degraded`, which is
   * slower, not down: still 200.
   */
  const health: RequestHandler = async (_request, response) => {
    const [alive, redis] = await Promise.all([guard.probe(), redisStatus()]);
    const database = alive ? 'connected' : 'disconnected';
    response.statusCode = alive ? 200 : 503;
    sendJson(response, {
      status: alive ? (redis.startsWith('unavailable') ? 'degraded' : 'healthy') : 'unhealthy',
      database,
      // Both live in the database.
      langgraph_checkpointer: database,
      langgraph_store: database,
      redis,
    });
  };

  const router = Router();
  router.get('/ok', open(ok));
  router.get('/info', open(info));
  router.get('/health', open(health));
  return router;
}

/** As the official server says it: with a key, unless tracing is switched off. */
const traces = ({ langSmith, LANGSMITH_TRACING: tracing }: RouteContext['config']): boolean =>
  langSmith !== undefined && tracing?.toLowerCase() !== 'false';
