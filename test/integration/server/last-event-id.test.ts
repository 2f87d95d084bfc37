import { playRun } from '../../support/play-run.ts';
import type { PlayedRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import type { SseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

describe.each([{ redis: true }, { redis: false }])(
  'Last-Event-ID, with redis: $redis',
  ({ redis }) => {
    let app: TestServer;
    beforeAll(async () => {
      app = await startTestServer({ redis, worker: false });
    });
    afterAll(() => app.stop());

    async function begin(): Promise<{ path: string; run: PlayedRun }> {
      const created = await app.call('POST', '/runs', { assistant_id: 'test' });
      const { run_id: runId, thread_id: threadId } = created.json() as Record<string, string>;
      const run = await playRun(app, String(runId));
      for (let n = 0; n < 3; n++) run.emit('values', { n });
      return { path: `/threads/${String(threadId)}/runs/${String(runId)}/stream`, run };
    }
    const join = (path: string, id: string | undefined): Promise<SseClient> =>
      openSseClient(app.url + path, id === undefined ? {} : { headers: { 'last-event-id': id } });

    test.each([
      ['-1', ['0', '1', '2']],
      [undefined, ['0', '1', '2']],
      ['0', ['1', '2']],
      ['2', []],
    ])('of a finished run, %s: the rest, then an orderly end', async (id, ids) => {
      const { path, run } = await begin();
      await run.end();
      const stream = await join(path, id);
      await waitUntil(() => stream.over, { timeoutMs: 20_000 });
      expect(stream.over).toBe('ended');
      expect(stream.frames.map((frame) => frame.id)).toEqual(ids);
    });

    test.each(['x', '1.5', '-2', '01', '1-1', '1-0', '1-2-3', '9'.repeat(30)])(
      'malformed, %s: 400 that says what was expected',
      async (id) => {
        const { path, run } = await begin();
        const answer = await app.call('GET', path, undefined, { 'last-event-id': id });
        expect(answer.status).toBe(400);
        expect(answer.text).toContain('Last-Event-ID: expected -1, <number> or <number>-<attempt>');
        await run.end();
      },
    );

    test('of an attempt that the run has not had: 400', async () => {
      const { path, run } = await begin();
      const answer = await app.call('GET', path, undefined, { 'last-event-id': '1-3' });
      expect(answer.status).toBe(400);
      expect(answer.text).toContain('of another run: this one has no attempt 3');
      await run.end();
    });

    // Redis may have lost what the client has, and nobody can tell: see fault test 5b.
    test(`ahead of a running log: ${redis ? 'a rewind to its last event' : '410'}`, async () => {
      const { path, run } = await begin();
      const all = await join(path, undefined);
      await waitUntil(() => all.frames.length === 3, { timeoutMs: 20_000 });
      if (redis) {
        const stream = await join(path, '3');
        run.emit('values', { n: 3 });
        await run.end();
        await waitUntil(() => stream.over, { timeoutMs: 20_000 });
        expect(stream.frames).toEqual([
          { event: 'rewind', data: { to: '2' }, id: '2' },
          { event: 'values', data: { n: 3 }, id: '3' },
        ]);
        return;
      }
      // A term's first events gather for a moment: then they are in the log.
      const reader = await join(path, undefined);
      await waitUntil(() => reader.frames.length === 3, { timeoutMs: 20_000 });
      reader.close();
      const answer = await app.call('GET', path, undefined, { 'last-event-id': '3' });
      expect([answer.status, answer.text]).toEqual([
        410,
        'Last-Event-ID 3 is ahead of the log: its last event is 2',
      ]);
      await run.end();
    });

    test('ahead of a finished log: 410', async () => {
      const { path, run } = await begin();
      await run.end();
      const ended = await app.call('GET', path, undefined, { 'last-event-id': '3' });
      expect([ended.status, ended.text]).toEqual([
        410,
        'Last-Event-ID 3 is ahead of the log: the run ended with event 2',
      ]);
    });

    test('of a run that has not begun: 410, and without one its first event arrives', async () => {
      const created = await app.call('POST', '/runs', { assistant_id: 'test' });
      const { run_id: runId } = created.json() as { run_id: string };
      const answer = await app.call('GET', `/runs/${runId}/stream`, undefined, {
        'last-event-id': '0',
      });
      expect(answer.status).toBe(410);
      const stream = await join(`/runs/${runId}/stream`, undefined);
      const run = await playRun(app, runId);
      run.emit('values', { n: 0 });
      await run.end();
      await waitUntil(() => stream.over, { timeoutMs: 20_000 });
      expect(stream.frames.map((frame) => frame.id)).toEqual(['0']);
    });
  },
);
