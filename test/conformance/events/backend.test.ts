/** Both ways of the log answer alike: what a writer may rely on, whichever it is on. */
import type { LogBackend, LogOwner } from '../../../src/events/backend.ts';
import { readPage } from '../../../src/events/page.ts';
import { beginRun, claimTerm, endRun, loseLease, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { waitUntil } from '../../support/wait-until.ts';

const events = (...names: string[]) =>
  names.map((name) => ({ type: 'custom', data: JSON.stringify(name) }));

describe.each(['redis', 'direct'] as const)('%s', (name) => {
  let app: TestApp;
  let backend: LogBackend;
  beforeAll(async () => {
    app = await startTestApp({ redis: name === 'redis', worker: false });
    backend = (name === 'redis' ? app.core.redisLog : app.core.directLog) as LogBackend;
  });
  afterAll(async () => {
    await app.stop();
  });

  /** The run's log is `expected`. Asked until it holds so many: a page that is read while the archiver moves events may lack some. */
  async function expectLog(owner: LogOwner, expected: readonly string[]): Promise<void> {
    const found = await waitUntil(
      async () => {
        const page = await readPage(
          app.core.reader,
          owner.threadId,
          { seq: 0, term: undefined },
          owner.runId,
        );
        const events = page?.events ?? [];
        return events.length >= expected.length ? events : undefined;
      },
      { timeoutMs: 20_000, what: `${expected.length} events` },
    );
    expect(found.map((event) => JSON.parse(event.data) as string)).toEqual(expected);
  }

  test('stores batches in order under dense seqs', async () => {
    const owner = await beginRun(app);
    expect(await backend.append(owner, 1, events('a', 'b'))).toMatchObject({
      status: 'OK',
      last: 2,
    });
    expect(await backend.append(owner, 3, events('c'))).toMatchObject({ status: 'OK', last: 3 });
    await expectLog(owner, ['a', 'b', 'c']);
  });

  test('a batch that is sent again is stored once', async () => {
    const owner = await beginRun(app);
    await backend.append(owner, 1, events('a', 'b'));
    const again = await backend.append(owner, 1, events('a', 'b'));
    expect(['DUP', 'OK']).toContain(again.status);
    expect(again.last).toBe(2);
    await expectLog(owner, ['a', 'b']);
  });

  test('of a batch that is half there the other half is stored', async () => {
    const owner = await beginRun(app);
    await backend.append(owner, 1, events('a', 'b'));
    expect(await backend.append(owner, 2, events('b', 'c'))).toMatchObject({
      status: 'OK',
      last: 3,
    });
    await expectLog(owner, ['a', 'b', 'c']);
  });

  test('a batch above a hole is refused and tells where the hole begins', async () => {
    const owner = await beginRun(app);
    await backend.append(owner, 1, events('a'));
    expect(await backend.append(owner, 3, events('c'))).toMatchObject({ status: 'GAP', last: 1 });
    await expectLog(owner, ['a']);
  });

  test('an empty batch changes nothing and tells the watermark', async () => {
    const owner = await beginRun(app);
    await backend.append(owner, 1, events('a'));
    const reply = await backend.append(owner, 2, []);
    expect(reply.last).toBe(1);
    expect(reply.archived).toBe(name === 'direct' ? 1 : reply.archived);
  });

  test('once a newer term has begun, the older one writes nothing', async () => {
    const old = await beginRun(app);
    await backend.append(old, 1, events('a'));
    await loseLease(app, old);
    const now = await claimTerm(app, old.runId);
    expect(now.term).toBeGreaterThan(old.term);
    expect(now.start).toBe(2);
    expect(await backend.append(old, 2, events('zombie'))).toMatchObject({ status: 'FENCED' });
    expect(await backend.append(now, 2, events('b'))).toMatchObject({ status: 'OK', last: 2 });
    await expectLog(now, ['a', 'b']);
  });

  test('the next run of the thread goes on above the last one', async () => {
    const first = await beginRun(app);
    await backend.append(first, 1, events('a', 'b'));
    const rest = events('a', 'b').map((event, i) => ({
      ...event,
      threadId: first.threadId,
      seq: i + 1,
      term: first.term,
    }));
    expect(await endRun(app, first, 2, rest)).toMatchObject({ outcome: 'ended' });
    const second = await beginRun(app, first.threadId);
    expect(second).toMatchObject({ start: 3, runFirst: 3, attempt: 1 });
    expect(await backend.append(second, 3, events('c'))).toMatchObject({ status: 'OK', last: 3 });
    expect(await backend.append(first, 3, events('late'))).toMatchObject({ status: 'FENCED' });
    await expectLog(first, ['a', 'b']);
    await expectLog(second, ['c']);
  });
});
