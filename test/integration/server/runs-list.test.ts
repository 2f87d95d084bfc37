import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';

interface Run {
  run_id: string;
  status: string;
}

test('runs are listed in pages, newest first, by status; and cancelled in bulk', async () => {
  const app = await startTestServer({ redis: false, worker: false });
  try {
    const thread = (await app.call('POST', '/threads', {})).json() as { thread_id: string };
    const path = `/threads/${thread.thread_id}/runs`;
    const runs: Run[] = [];
    for (let n = 0; n < 4; n++)
      runs.push((await app.call('POST', path, { assistant_id: 'test' })).json() as Run);
    const ids = runs.map((run) => run.run_id).reverse();
    const list = async (query: string): Promise<string[]> =>
      ((await app.call('GET', path + query)).json() as Run[]).map((run) => run.run_id);
    expect(await list('')).toEqual(ids);
    expect(await list('?limit=2&offset=2')).toEqual(ids.slice(2));
    const running = await playRun(app, runs[0]?.run_id ?? '');
    expect(await list('?status=running')).toEqual([running.owner.runId]);
    const selected = await app.call('GET', `${path}?limit=1&select=status&select=run_id`);
    expect(selected.json()).toEqual([{ status: 'pending', run_id: ids[0] }]);

    const some = await app.call('POST', '/runs/cancel', {
      thread_id: thread.thread_id,
      run_ids: [ids[0], ids[1]],
    });
    expect([some.status, some.text]).toEqual([204, '']);
    expect(await list('?status=interrupted')).toEqual(ids.slice(0, 2));
    expect(
      (await app.call('POST', '/runs/cancel?action=rollback', { status: 'pending' })).status,
    ).toBe(204);
    expect(await list('')).toEqual([ids[0], ids[1], ids[3]]);
    expect((await app.call('POST', '/runs/cancel', { status: 'all' })).status).toBe(204);
    await running.end({ status: 'interrupted' });
    expect(await list('?status=interrupted')).toEqual([ids[0], ids[1], ids[3]]);
    expect((await app.call('GET', `/threads/${thread.thread_id}`)).json()).toMatchObject({
      status: 'idle',
    });
  } finally {
    await app.stop();
  }
});
