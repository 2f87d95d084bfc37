/** Crons as the API makes, changes, finds and removes them. */
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';

interface Cron {
  cron_id: string;
  assistant_id: string;
  thread_id: string | null;
  next_run_date: string | null;
  end_time: string | null;
  enabled: boolean;
  payload: Record<string, unknown>;
  metadata: Record<string, unknown>;
}

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: false, worker: false });
});
afterAll(() => app.stop());

const DAILY = '0 9 * * *';

async function create(body: object, path = '/runs/crons'): Promise<Cron> {
  const answer = await app.call('POST', path, {
    assistant_id: 'test',
    schedule: DAILY,
    ...body,
  });
  expect(answer.status).toBe(200);
  return answer.json() as Cron;
}

async function newThread(): Promise<string> {
  const thread = (await app.call('POST', '/threads', {})).json() as { thread_id: string };
  return thread.thread_id;
}

const patch = async (cron: Cron, body: object): Promise<Cron> =>
  (await app.call('PATCH', `/runs/crons/${cron.cron_id}`, body)).json() as Cron;

test('a stateless cron has every field of the contract', async () => {
  const cron = await create({
    input: { a: 1 },
    config: { tags: ['x'] },
    context: { c: '\0' },
    metadata: { m: 1 },
    timezone: 'Asia/Tokyo',
    webhook: 'https://example.org/hook',
    stream_mode: ['values'],
    end_time: '2099-01-01T00:00:00',
  });
  expect(cron).toEqual({
    cron_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    assistant_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    thread_id: null,
    user_id: null,
    schedule: DAILY,
    timezone: 'Asia/Tokyo',
    end_time: '2099-01-01T00:00:00.000Z',
    enabled: true,
    on_run_completed: 'delete',
    payload: {
      input: { a: 1 },
      config: { tags: ['x'] },
      context: { c: '\0' },
      webhook: 'https://example.org/hook',
      stream_mode: ['values'],
    },
    metadata: { m: 1 },
    next_run_date: expect.stringMatching(/T00:00:00.000Z$/) as string,
    created_at: expect.any(String) as string,
    updated_at: expect.any(String) as string,
  });
  expect(Date.parse(cron.next_run_date ?? '')).toBeGreaterThan(Date.now());
});

test('a cron on a thread names it and has nothing to do with the thread’s end', async () => {
  const threadId = await newThread();
  const cron = await create({ on_run_completed: 'keep' }, `/threads/${threadId}/runs/crons`);
  expect(cron).toMatchObject({ thread_id: threadId, on_run_completed: null });
});

test('it goes with its thread', async () => {
  const threadId = await newThread();
  await create({}, `/threads/${threadId}/runs/crons`);
  expect((await app.call('DELETE', `/threads/${threadId}`)).status).toBe(204);
  const left = await app.call('POST', '/runs/crons/count', { thread_id: threadId });
  expect(left.json()).toBe(0);
});

test.each([
  [{ assistant_id: 'nobody' }, 404, 'Assistant not found'],
  [{ schedule: '* * * * * *' }, 400, 'five cron fields'],
  [{ schedule: '0 0 30 2 *' }, 400, 'never due'],
  [{ timezone: 'Mars/Base' }, 400, 'IANA'],
  [{ end_time: '2020-01-01T00:00:00Z' }, 400, 'before end_time'],
  [{ end_time: 'soon' }, 400, 'end_time'],
  [{ after_seconds: 5 }, 400, 'after_seconds'],
  [{ webhook: 'ftp://x/' }, 400, 'webhook'],
])('%j is answered with %i', async (body, status, text) => {
  const answer = await app.call('POST', '/runs/crons', {
    assistant_id: 'test',
    schedule: DAILY,
    ...body,
  });
  expect(answer.status).toBe(status);
  expect(answer.text).toContain(text);
});

test('a thread that is not there is 404', async () => {
  const answer = await app.call(
    'POST',
    '/threads/00000000-0000-0000-0000-000000000001/runs/crons',
    { assistant_id: 'test', schedule: DAILY },
  );
  expect(answer.status).toBe(404);
});

test('a change keeps what it does not name; null clears the end', async () => {
  const cron = await create({
    input: { a: 1 },
    context: { c: 1 },
    metadata: { m: 1 },
    end_time: '2099-01-01T00:00:00Z',
  });
  const changed = await patch(cron, { input: { b: 2 }, metadata: { n: 2 } });
  expect(changed).toMatchObject({
    payload: { input: { b: 2 }, context: { c: 1 } },
    metadata: { m: 1, n: 2 },
    end_time: cron.end_time,
    next_run_date: cron.next_run_date,
  });
  expect(changed.payload['input']).toEqual({ b: 2 });
  expect((await patch(cron, { end_time: null })).end_time).toBeNull();
  const moved = await patch(cron, { schedule: '30 10 * * *' });
  expect(moved.next_run_date).toMatch(/T10:30:00.000Z$/);
  expect((await patch(cron, { timezone: 'Asia/Tokyo' })).next_run_date).toMatch(/T01:30:00.000Z$/);
  const bad = await app.call('PATCH', `/runs/crons/${cron.cron_id}`, { schedule: 'no' });
  expect(bad.status).toBe(400);
});

test.each([
  [{ schedule: '0 0 30 2 *' }, 'never due'],
  [{ end_time: '2020-01-01T00:00:00Z' }, 'before end_time'],
  // On a leap day that comes later.
  [{ schedule: '0 0 29 2 *', end_time: '2027-01-01T00:00:00Z' }, 'before end_time'],
])('a change to %j is refused as it is at the creation', async (given, text) => {
  const cron = await create({});
  const answer = await app.call('PATCH', `/runs/crons/${cron.cron_id}`, given);
  expect(answer.status).toBe(400);
  expect(answer.text).toContain(text);
  // Who is off waits for no date; one whose dates are over may still be renamed, and switched on to no effect.
  const off = await create({ enabled: false });
  expect(await patch(off, given)).toMatchObject({ next_run_date: null });
  expect(await patch(off, { metadata: { m: 1 } })).toMatchObject({ metadata: { m: 1 } });
  expect(await patch(off, { enabled: true })).toMatchObject({ enabled: true, next_run_date: null });
});

test('a disabled cron waits for no date, an enabled one for the next', async () => {
  const cron = await create({ enabled: false });
  expect(cron).toMatchObject({ enabled: false, next_run_date: null });
  expect(await patch(cron, { input: { a: 1 } })).toMatchObject({ next_run_date: null });
  const enabled = await patch(cron, { enabled: true });
  expect(Date.parse(enabled.next_run_date ?? '')).toBeGreaterThan(Date.now());
  expect(await patch(cron, { enabled: false })).toMatchObject({ next_run_date: null });
});

test('search, count and pages', async () => {
  const metadata = { series: 'search' };
  const [a, b, c] = [
    await create({ metadata }),
    await create({ metadata: { ...metadata, extra: 1 }, schedule: '0 8 * * *' }),
    await create({ metadata, enabled: false }),
  ];
  const search = async (body: object): Promise<string[]> =>
    ((await app.call('POST', '/runs/crons/search', { metadata, ...body })).json() as Cron[]).map(
      (cron) => cron.cron_id,
    );
  expect(await search({})).toEqual([c.cron_id, b.cron_id, a.cron_id]);
  expect(await search({ sort_order: 'asc', limit: 2 })).toEqual([a.cron_id, b.cron_id]);
  expect(await search({ enabled: true })).toEqual([b.cron_id, a.cron_id]);
  expect(await search({ metadata: { extra: 1 } })).toEqual([b.cron_id]);
  expect(await search({ assistant_id: 'test' })).toHaveLength(3);
  expect(await search({ assistant_id: 'other' })).toEqual([]);
  expect((await search({ sort_by: 'next_run_date', sort_order: 'asc' })).at(-1)).toBe(c.cron_id);
  const page = await app.call('POST', '/runs/crons/search', {
    metadata,
    limit: 2,
    select: ['schedule'],
  });
  expect(page.json()).toEqual([{ schedule: DAILY }, { schedule: '0 8 * * *' }]);
  expect(page.headers.get('x-pagination-total')).toBe('3');
  expect(page.headers.get('x-pagination-next')).toBe('2');
  const count = await app.call('POST', '/runs/crons/count', { metadata });
  expect(count.json()).toBe(3);
});

test('a removed cron is gone', async () => {
  const cron = await create({});
  const path = `/runs/crons/${cron.cron_id}`;
  expect((await app.call('DELETE', path)).status).toBe(204);
  expect((await app.call('DELETE', path)).status).toBe(404);
  const patched = await app.call('PATCH', path, { enabled: false });
  expect([patched.status, patched.text]).toEqual([404, 'Cron not found']);
});
