import { startTestServer } from '../../support/server.ts';
import type { Answer, TestServer } from '../../support/server.ts';

describe('searching threads', () => {
  let app: TestServer;
  const ids: string[] = [];
  beforeAll(async () => {
    app = await startTestServer({ redis: false, worker: false });
    for (let n = 0; n < 5; n++) {
      const created = await app.call('POST', '/threads', {
        metadata: { n, tag: { even: n % 2 === 0 } },
      });
      ids.push((created.json() as { thread_id: string }).thread_id);
    }
    await app.core.pool.query(`UPDATE threads SET "values" = $2 WHERE thread_id = $1`, [
      ids[0],
      '{"a":{"b":[1,2]}}',
    ]);
    await app.core.pool.query(
      `UPDATE threads SET "values" = $2, status = 'error' WHERE thread_id = $1`,
      [ids[1], '{"a":"\\u0000"}'],
    );
    // A stateless run's thread is nobody's to find.
    await app.call('POST', '/runs', { assistant_id: 'test' });
  });
  afterAll(() => app.stop());

  const search = (body: object): Promise<Answer> => app.call('POST', '/threads/search', body);
  const found = async (body: object): Promise<number[]> =>
    ((await search(body)).json() as { thread_id: string }[]).map((row) =>
      ids.indexOf(row.thread_id),
    );

  test('newest first, in pages that tell the total and the next', async () => {
    const first = await search({ limit: 2 });
    expect(first.headers.get('x-pagination-total')).toBe('5');
    expect(first.headers.get('x-pagination-next')).toBe('2');
    expect(await found({ limit: 2 })).toEqual([4, 3]);
    const last = await search({ limit: 2, offset: 4 });
    expect(last.headers.get('x-pagination-total')).toBe('5');
    expect(last.headers.get('x-pagination-next')).toBeNull();
    expect(await found({ limit: 2, offset: 4 })).toEqual([0]);
    expect(await found({ sort_by: 'created_at', sort_order: 'asc' })).toEqual([0, 1, 2, 3, 4]);
  });

  test('by metadata, values, status and ids', async () => {
    expect(await found({ metadata: { tag: { even: true } } })).toEqual([4, 2, 0]);
    expect(await found({ values: { a: { b: [2] } } })).toEqual([0]);
    expect(await found({ values: { a: 'x' } })).toEqual([]);
    expect(await found({ status: 'error' })).toEqual([1]);
    expect(await found({ ids: [ids[3]?.toUpperCase(), ids[1]] })).toEqual([3, 1]);
    expect((await app.call('POST', '/threads/count', { metadata: { n: 3 } })).text).toBe('1');
  });

  test('with the selected fields only', async () => {
    const rows = (await search({ select: ['status', 'metadata', 'nothing'], limit: 1 })).json();
    expect(rows).toEqual([{ status: 'idle', metadata: { n: 4, tag: { even: true } } }]);
  });
});
