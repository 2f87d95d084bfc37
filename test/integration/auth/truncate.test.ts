/** POST /internal/truncate where there are users: it empties what is everybody's. */
import { as, startAuthServer } from '../../support/auth-project/people.ts';
import type { TestServer } from '../../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startAuthServer({ environment: { NODE_ENV: 'development' } });
});
afterAll(() => server.stop());

test('it is for nobody who may not delete everything', async () => {
  const ada = as(server, 'ada');
  const { thread_id: id } = (await ada('POST', '/threads', {})).json() as { thread_id: string };
  expect(
    (await as(server, undefined)('POST', '/internal/truncate', { threads: true })).status,
  ).toBe(401);
  for (const name of ['bob', 'ada', 'banned'])
    expect((await as(server, name)('POST', '/internal/truncate', { threads: true })).status).toBe(
      403,
    );
  expect((await ada('GET', `/threads/${id}`)).status).toBe(200);
});

test('it is for who may, but of items where a handler gives each user its own', async () => {
  const ada = as(server, 'ada');
  const { thread_id: id } = (await ada('POST', '/threads', {})).json() as { thread_id: string };
  const root = as(server, 'root');
  expect((await root('POST', '/internal/truncate', { store: true })).status).toBe(403);
  expect((await root('POST', '/internal/truncate', { threads: true })).status).toBe(200);
  expect((await ada('GET', `/threads/${id}`)).status).toBe(404);
});

test('it is not for a page from elsewhere', async () => {
  const headers = { 'x-api-key': 'root', origin: 'http://elsewhere.example' };
  const answer = await server.call('POST', '/internal/truncate', { threads: true }, headers);
  expect(answer.status).toBe(403);
});
