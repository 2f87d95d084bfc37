/** Crons (HTTP.md, 3.4), through the official SDK. What they do while nobody is there: e2e/unattended.test.ts. */
import { randomUUID } from 'node:crypto';
import { call, client, closeDatabase, database, mark, newThread, said } from '../../support/api.ts';
import { waitUntil } from '../../support/wait-until.ts';

afterAll(closeDatabase);

const makeDue = (cronId: string): Promise<unknown> =>
  database().query(`UPDATE crons SET next_run_date = now() - interval '1 s' WHERE cron_id = $1`, [
    cronId,
  ]);

test('a cron has every field; what is left out', async () => {
  const cron = await client.crons.create('agent', { schedule: '0 9 * * *', input: said('hi') });
  expect(cron).toEqual({
    cron_id: expect.any(String) as string,
    assistant_id: 'fe096781-5601-53d2-b2f6-0d3403f7e9ca',
    thread_id: null,
    schedule: '0 9 * * *',
    timezone: null,
    end_time: null,
    enabled: true,
    on_run_completed: 'delete',
    payload: { input: said('hi') },
    metadata: {},
    user_id: null,
    next_run_date: expect.stringMatching(/T09:00:00\.000Z$/) as string,
    created_at: expect.any(String) as string,
    updated_at: expect.any(String) as string,
  });
  await client.crons.delete(cron.cron_id);
  const gone = await call('DELETE', `/runs/crons/${cron.cron_id}`);
  expect(gone.status).toBe(404);
});

test('the run’s fields are its payload; a zone shifts the date; a patch keeps what it does not name', async () => {
  const payload = {
    input: { n: 1 },
    config: { configurable: { a: 1 } },
    context: { b: 2 },
    webhook: '/nowhere',
    interrupt_before: ['x'],
    interrupt_after: '*',
    multitask_strategy: 'reject',
    stream_mode: ['values'],
    stream_subgraphs: true,
    stream_resumable: true,
    durability: 'sync',
  };
  const answer = await call('POST', '/runs/crons', {
    assistant_id: 'agent',
    schedule: '0 9 1 7 *',
    timezone: 'Europe/Berlin',
    end_time: '2099-01-01T00:00:00Z',
    metadata: { m: 1 },
    ...payload,
  });
  const cron = answer.json<{ cron_id: string; next_run_date: string; payload: object }>();
  expect(cron.payload).toEqual(payload);
  expect(cron.next_run_date).toMatch(/-07-01T07:00:00\.000Z$/);
  const patched = await client.crons.update(cron.cron_id, { endTime: null, enabled: false });
  expect(patched).toMatchObject({
    end_time: null,
    enabled: false,
    next_run_date: null,
    payload,
    timezone: 'Europe/Berlin',
    metadata: { m: 1 },
  });
  const again = await client.crons.update(cron.cron_id, { enabled: true, schedule: '0 10 1 7 *' });
  expect(again.next_run_date).toMatch(/T08:00:00/);
  await client.crons.delete(cron.cron_id);
});

test('search and count: by assistant, thread, state and metadata, sorted, in pages, selected', async () => {
  const series = mark();
  const metadata = { series };
  const threadId = await newThread();
  const assistant = await client.assistants.create({ graphId: 'steps' });
  const first = await client.crons.create('agent', { schedule: '0 0 1 1 *', metadata });
  await client.crons.create(assistant.assistant_id, {
    schedule: '0 0 2 1 *',
    metadata,
    enabled: false,
  });
  const onThread = await client.crons.createForThread(threadId, 'agent', {
    schedule: '0 0 3 1 *',
    metadata,
  });
  expect(onThread).toMatchObject({ thread_id: threadId, on_run_completed: null });
  const days = async (query: object): Promise<string[]> =>
    (await client.crons.search({ metadata, ...query })).map(
      ({ schedule }) => schedule.split(' ')[2] ?? '',
    );
  expect(await days({})).toEqual(['3', '2', '1']);
  expect(await days({ sortBy: 'next_run_date', sortOrder: 'asc', enabled: true })).toEqual([
    '1',
    '3',
  ]);
  expect(await days({ assistantId: assistant.assistant_id })).toEqual(['2']);
  expect(await days({ threadId })).toEqual(['3']);
  expect(await days({ limit: 1, offset: 2 })).toEqual(['1']);
  const page = await call('POST', '/runs/crons/search', {
    metadata,
    limit: 2,
    select: ['cron_id'],
  });
  expect(page.headers.get('x-pagination-total')).toBe('3');
  expect(page.headers.get('x-pagination-next')).toBe('2');
  expect(Object.keys(page.json<object[]>()[0] ?? {})).toEqual(['cron_id']);
  expect(await client.crons.count({ metadata })).toBe(3);
  expect(await client.crons.count({ metadata, assistantId: 'agent' })).toBe(2);
  expect(await client.crons.count({ metadata, threadId })).toBe(1);
  // Gone with its assistant, and with its thread.
  await client.assistants.delete(assistant.assistant_id);
  await client.threads.delete(threadId);
  expect((await client.crons.search({ metadata })).map(({ cron_id: id }) => id)).toEqual([
    first.cron_id,
  ]);
  await client.crons.delete(first.cron_id);
});

test('what cannot be scheduled is refused', async () => {
  const create = (body: object): Promise<{ status: number }> =>
    call('POST', '/runs/crons', { assistant_id: 'agent', schedule: '0 0 1 1 *', ...body });
  expect((await create({ schedule: 'daily' })).status).toBe(400);
  expect((await create({ schedule: '* * * * * *' })).status).toBe(400);
  expect((await create({ timezone: 'Mars/Olympus' })).status).toBe(400);
  expect((await create({ assistant_id: 'nobody' })).status).toBe(404);
  expect((await create({ nonsense: 1 })).status).toBe(400);
  const nowhere = `/threads/${randomUUID()}/runs/crons`;
  const missing = await call('POST', nowhere, { assistant_id: 'agent', schedule: '0 0 1 1 *' });
  expect(missing.status).toBe(404);
  expect((await call('PATCH', `/runs/crons/${randomUUID()}`, {})).status).toBe(404);
});

test('a due cron runs once over all processes, on its thread', async () => {
  const threadId = await newThread();
  const cron = await client.crons.createForThread(threadId, 'agent', {
    schedule: '0 0 1 1 *',
    input: said('due'),
  });
  await makeDue(cron.cron_id);
  await waitUntil(
    async () => (await client.runs.list(threadId, { status: 'success' })).length > 0,
    {
      timeoutMs: 20_000,
    },
  );
  const runs = await client.runs.list(threadId);
  expect(runs).toMatchObject([{ metadata: { cron_id: cron.cron_id } }]);
  await client.crons.delete(cron.cron_id);
});
