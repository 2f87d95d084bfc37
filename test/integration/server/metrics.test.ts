import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: false, worker: false });
});
afterAll(() => app.stop());

test('metrics are text for Prometheus, with the backlog of the deployment', async () => {
  await app.call('POST', '/runs', { assistant_id: app.assistantId });
  await app.call('POST', '/runs', { assistant_id: app.assistantId, after_seconds: 60 });
  const { status, headers, text } = await app.call('GET', '/metrics');
  expect(status).toBe(200);
  expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(text).toContain('# TYPE millrace_runs_ended_total counter');
  expect(text).toMatch(/^millrace_runs_active\{status="pending"\} 2$/m);
  expect(text).toMatch(/^millrace_runs_active\{status="running"\} 0$/m);
});

test('the same as JSON; another format is refused', async () => {
  const json = await app.call('GET', '/metrics?format=json');
  expect(json.json()).toContainEqual(
    expect.objectContaining({ name: 'millrace_sse_clients', type: 'gauge' }),
  );
  expect((await app.call('GET', '/metrics?format=xml')).status).toBe(400);
});

test('ok?check_db=1 asks Postgres', async () => {
  expect((await app.call('GET', '/ok?check_db=1')).json()).toEqual({ ok: true });
  expect((await app.call('GET', '/ok?check_db=perhaps')).status).toBe(400);
});
