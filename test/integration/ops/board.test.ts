/** Bull Board at /ops: who may see it, what it shows, and that looking changes nothing. */
import { request as httpRequest } from 'node:http';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const LOGIN = { OPS_USER: 'ada', OPS_PASSWORD: 'correct horse' };
const basic = (text: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(text).toString('base64')}`,
});
const ADA = basic('ada:correct horse');

interface Queues {
  queues: {
    name: string;
    readOnlyMode: boolean;
    counts: Record<string, number>;
    jobs: { id: string; data: { runId: string }; externalUrl: { href: string } }[];
  }[];
}
const QUEUES = '/ops/api/queues?activeQueue=runs&status=latest&page=1&jobsPerPage=10';

/** fetch sets `host` itself. */
function getAs(url: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

describe('with credentials', () => {
  let app: TestServer;
  beforeAll(async () => {
    app = await startTestServer({ redis: true, worker: false, environment: LOGIN });
  });
  afterAll(() => app.stop());

  test('nobody gets in without them, and no other page may read it', async () => {
    for (const headers of [{}, basic('ada:wrong'), basic('ada'), { authorization: 'Bearer x' }]) {
      const { status, headers: got } = await app.call('GET', QUEUES, undefined, headers);
      expect(status).toBe(401);
      expect(got.get('www-authenticate')).toContain('Basic');
    }
    const { headers } = await app.call('GET', '/ops/', undefined, ADA);
    expect(headers.get('access-control-allow-origin')).toBeNull();
    expect(headers.get('content-security-policy')).toContain("default-src 'self'");
  });

  test('the page and what it is made of are served', async () => {
    const page = await app.call('GET', '/ops/', undefined, ADA);
    expect(page.text).toContain('<base href="/ops/"');
    const script = /src="(static\/js\/main[^"]+)"/.exec(page.text)?.[1] ?? '';
    expect((await app.call('GET', `/ops/${script}`, undefined, ADA)).status).toBe(200);
  });

  test('it shows the wake-up of a run that waits, which leads to the run in the API', async () => {
    const created = await app.call('POST', '/runs', { assistant_id: app.assistantId });
    const run = created.json() as { run_id: string; thread_id: string };
    const job = await waitUntil(
      async () => {
        const { queues } = (await app.call('GET', QUEUES, undefined, ADA)).json() as Queues;
        return queues[0]?.jobs.find(({ data }) => data.runId === run.run_id);
      },
      { timeoutMs: 20_000, what: 'the job to be shown' },
    );
    expect(job.externalUrl.href).toBe(`/ops/runs/${run.run_id}`);
    const page = await app.call('GET', job.externalUrl.href, undefined, ADA);
    expect(page.json()).toMatchObject({ run_id: run.run_id, status: 'pending' });
    const unknown = '00000000-0000-4000-8000-000000000000';
    expect((await app.call('GET', `/ops/runs/${unknown}`, undefined, ADA)).status).toBe(404);
    expect((await app.call('GET', '/ops/runs/x', undefined, ADA)).status).toBe(400);
  });

  test('it changes nothing', async () => {
    const before = (await app.call('GET', QUEUES, undefined, ADA)).json() as Queues;
    expect(before.queues[0]).toMatchObject({ name: 'runs', readOnlyMode: true });
    const id = before.queues[0]?.jobs[0]?.id ?? '';
    for (const path of ['pause', 'empty', 'obliterate', `${id}/clean`, `${id}/promote`])
      expect((await app.call('PUT', `/ops/api/queues/runs/${path}`, {}, ADA)).status).toBe(405);
    expect((await app.call('POST', '/ops/api/queues/runs/add', {}, ADA)).status).toBe(405);
    const after = (await app.call('GET', QUEUES, undefined, ADA)).json() as Queues;
    expect(after.queues[0]?.counts).toEqual(before.queues[0]?.counts);
  });
});

test('what changes something is taken from its own pages only', async () => {
  const app = await startTestServer({
    redis: true,
    worker: false,
    environment: { ...LOGIN, OPS_READ_ONLY: 'false' },
  });
  const pause = (headers: Record<string, string>): Promise<number> =>
    app
      .call('PUT', '/ops/api/queues/runs/pause', {}, { ...ADA, ...headers })
      .then(({ status }) => status);
  expect(await pause({ origin: 'https://evil.example' })).toBe(403);
  expect(await pause({ 'sec-fetch-site': 'cross-site' })).toBe(403);
  expect(await pause({ origin: app.url })).toBe(200);
  await app.stop();
});

test('without credentials it is there in development, for this machine under its own name', async () => {
  const app = await startTestServer({
    redis: true,
    worker: false,
    environment: { NODE_ENV: 'development' },
  });
  expect((await app.call('GET', '/ops/')).status).toBe(200);
  expect(await getAs(`${app.url}/ops/`, 'rebound.example')).toBe(403);
  expect(await getAs(`${app.url}/ops/`, 'localhost:2024')).toBe(200);
  await app.stop();
});

test('without credentials it is closed elsewhere, and says what to set', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  const { status, text } = await app.call('GET', '/ops/');
  expect(status).toBe(403);
  expect(text).toContain('OPS_PASSWORD');
  await app.stop();
});

test('without BullMQ it says so', async () => {
  const app = await startTestServer({ redis: false, worker: false, environment: LOGIN });
  const { status, text } = await app.call('GET', '/ops/', undefined, ADA);
  expect(status).toBe(404);
  expect(text).toContain('not BullMQ');
  await app.stop();
});
