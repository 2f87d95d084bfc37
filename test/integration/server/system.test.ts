import { startRedis } from '../../support/redis.ts';
import { startTestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const HEALTHY = {
  status: 'healthy',
  database: 'connected',
  langgraph_checkpointer: 'connected',
  langgraph_store: 'connected',
};

test('health tells of Redis, and is degraded without it, not unhealthy', async () => {
  const redis = await startRedis();
  const app = await startTestServer({ redis: true, redisUrl: redis.url, worker: false });
  try {
    const health = async (): Promise<Record<string, string>> => {
      const answer = await app.call('GET', '/health');
      expect(answer.status).toBe(200);
      return answer.json() as Record<string, string>;
    };
    expect(await health()).toEqual({ ...HEALTHY, redis: 'connected' });
    await redis.kill();
    const without = await waitUntil(
      async () => {
        const now = await health();
        return now['redis'] === 'connected' ? undefined : now;
      },
      { timeoutMs: 20_000 },
    );
    expect(without).toMatchObject({ ...HEALTHY, status: 'degraded' });
    expect(without['redis']).toMatch(/^unavailable \(fallback to memory\): ./);
  } finally {
    await app.stop();
    await redis.stop();
  }
});

test('ok, info, and what browsers are told', async () => {
  const app = await startTestServer({ redis: false, worker: false });
  try {
    expect((await app.call('GET', '/ok')).json()).toEqual({ ok: true });
    const info = await app.call('GET', '/info');
    expect(info.json()).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      langgraph_js_version: expect.stringMatching(/^1\./) as string,
      context: 'js',
      flags: { assistants: true },
    });
    expect(info.headers.get('access-control-allow-origin')).toBe('*');
    expect(info.headers.get('access-control-expose-headers')).toBe(
      'content-location,location,x-pagination-total,x-pagination-next',
    );
    const preflight = await app.call('OPTIONS', '/threads', undefined, {
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-mine',
    });
    expect([preflight.status, preflight.text]).toEqual([204, '']);
    expect(preflight.headers.get('access-control-allow-headers')).toBe('content-type,x-mine');
    expect(preflight.headers.get('access-control-allow-methods')).toContain('DELETE');
    expect((await app.call('GET', '/health')).json()).toEqual({
      ...HEALTHY,
      redis: 'unknown',
    });
  } finally {
    await app.stop();
  }
});
