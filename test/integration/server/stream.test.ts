import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

describe.each([{ redis: true }, { redis: false }])('with redis: $redis', ({ redis }) => {
  let app: TestServer;
  beforeAll(async () => {
    app = await startTestServer({ redis, worker: false });
  });
  afterAll(() => app.stop());

  test('a run streams live from its first event to its end, which is an orderly one', async () => {
    const stream = await openSseClient(`${app.url}/runs/stream`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ assistant_id: 'test', input: { a: 1 } }),
    });
    expect(stream.status).toBe(200);
    expect(stream.headers.get('content-type')).toBe('text/event-stream');
    expect(stream.headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(stream.headers.get('x-accel-buffering')).toBe('no');
    const place = /^\/runs\/([0-9a-f-]{36})$/.exec(stream.headers.get('content-location') ?? '');
    const runId = place?.[1] ?? '';
    expect(stream.headers.get('location')).toBe(`/runs/${runId}/stream`);

    const run = await playRun(app, runId);
    run.emit('metadata', { run_id: runId, attempt: 1 });
    await waitUntil(() => stream.frames.length === 1, { timeoutMs: 20_000 });
    run.emit('values', { n: 1 });
    run.emit('values', { text: 'line\u2028 and \u0000' });
    await run.end();
    await waitUntil(() => stream.over, { timeoutMs: 20_000 });
    expect(stream.over).toBe('ended');
    expect(stream.frames).toEqual([
      { event: 'metadata', data: { run_id: runId, attempt: 1 }, id: '0' },
      { event: 'values', data: { n: 1 }, id: '1' },
      { event: 'values', data: { text: 'line\u2028 and \u0000' }, id: '2' },
    ]);
    expect(stream.text.startsWith('event: metadata\ndata: {"run_id":')).toBe(true);
  });

  test('a client comes back with Last-Event-ID and gets the rest, over two attempts', async () => {
    const created = await app.call('POST', '/runs', {
      assistant_id: 'test',
      on_completion: 'keep',
    });
    const { run_id: runId, thread_id: threadId } = created.json() as Record<string, string>;
    const join = (id?: string): ReturnType<typeof openSseClient> =>
      openSseClient(
        `${app.url}/threads/${String(threadId)}/runs/${String(runId)}/stream`,
        id === undefined ? {} : { headers: { 'last-event-id': id } },
      );
    const first = await playRun(app, runId ?? '');
    first.emit('values', { n: 0 });
    first.emit('values', { n: 1 });
    await first.handOver();
    const early = await join();
    await waitUntil(() => early.frames.length === 2, { timeoutMs: 20_000 });

    const second = await playRun(app, runId ?? '');
    second.emit('values', { n: 2 });
    const late = await join('0');
    second.emit('values', { n: 3 });
    await second.end();
    const after = await join('2-2');
    for (const stream of [early, late, after])
      await waitUntil(() => stream.over, { timeoutMs: 20_000 });
    expect(early.frames.map(({ id }) => id)).toEqual(['0', '1', '2-2', '3-2']);
    expect(late.frames.map(({ id }) => id)).toEqual(['1', '2-2', '3-2']);
    expect(after.frames.map(({ id }) => id)).toEqual(['3-2']);
    expect([early.over, late.over, after.over]).toEqual(['ended', 'ended', 'ended']);
  });
});
