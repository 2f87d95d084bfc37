import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('deleting a thread stops its runs, ends their streams and leaves no row', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  try {
    const { rows: before } = await app.core.pool.query(COUNTS);
    const thread = (await app.call('POST', '/threads', {})).json() as { thread_id: string };
    const path = `/threads/${thread.thread_id}`;
    const create = async (): Promise<string> =>
      (
        (await app.call('POST', `${path}/runs`, { assistant_id: 'test' })).json() as {
          run_id: string;
        }
      ).run_id;
    const finished = await playRun(app, await create());
    finished.emit('values', { n: 0 });
    await finished.end();
    const running = await playRun(app, await create());
    running.emit('values', { n: 1 });
    const pending = await create();
    const streams = await Promise.all(
      [running.owner.runId, pending].map((runId) =>
        openSseClient(`${app.url}${path}/runs/${runId}/stream`),
      ),
    );
    const deleted = app.call('DELETE', path);
    const isAsked = async (): Promise<boolean> => {
      const { rows } = await app.core.pool.query(
        `SELECT 1 FROM runs WHERE run_id = $1 AND cancel_action = 'rollback'`,
        [running.owner.runId],
      );
      return rows.length === 1;
    };
    await waitUntil(isAsked, { timeoutMs: 20_000 });
    await running.rollBack();
    const answer = await deleted;
    expect([answer.status, answer.text]).toEqual([204, '']);
    for (const stream of streams) await waitUntil(() => stream.over, { timeoutMs: 20_000 });
    expect((await app.call('GET', path)).status).toBe(404);
    expect((await app.core.pool.query(COUNTS)).rows).toEqual(before);
  } finally {
    await app.stop();
  }
});

const COUNTS = `SELECT ${['threads', 'runs', 'events', 'terms', 'voids', 'checkpoints']
  .map((table) => `(SELECT count(*) FROM ${table}) AS ${table}`)
  .join(', ')}`;

test('deleting a finished run leaves the events of the others readable', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  try {
    const thread = (await app.call('POST', '/threads', {})).json() as { thread_id: string };
    const path = `/threads/${thread.thread_id}/runs`;
    const runIds: string[] = [];
    for (let n = 0; n < 3; n++) {
      const created = await app.call('POST', path, { assistant_id: 'test' });
      const { run_id: runId } = created.json() as { run_id: string };
      const run = await playRun(app, runId);
      run.emit('values', { n });
      await run.end();
      runIds.push(runId);
    }
    const [, middle, last] = runIds;
    expect((await app.call('DELETE', `${path}/${String(middle)}`)).status).toBe(204);
    expect((await app.call('GET', `${path}/${String(middle)}/stream`)).status).toBe(404);
    const stream = await openSseClient(`${app.url}${path}/${String(last)}/stream`);
    await waitUntil(() => stream.over, { timeoutMs: 20_000 });
    expect(stream.frames).toEqual([{ event: 'values', data: { n: 2 }, id: '0' }]);
  } finally {
    await app.stop();
  }
});
