/** Commands that make runs: in the order of their connection, and one answer for one question. */
import { newId } from '../../../src/ids.ts';
import { createDeferred } from '../../../src/lib/deferred.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { command, openSocket } from '../../support/v2-client.ts';
import type { Answer } from '../../support/v2-client.ts';

interface Run {
  run_id: string;
  kwargs: { input: unknown; command: { resume?: unknown } | null };
}

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: false, worker: false });
});
afterEach(() => {
  // What it had is the prototype's.
  Reflect.deleteProperty(app.core.pool, 'query');
});
afterAll(() => app.stop());

/** Queries whose text or name `matches` are answered when `gate` lets them. */
function holdQueries(matches: RegExp, gate: (n: number) => Promise<void>): void {
  const { pool } = app.core;
  const query = Reflect.get(pool, 'query') as (...args: unknown[]) => Promise<unknown>;
  let n = 0;
  Object.defineProperty(pool, 'query', {
    configurable: true,
    value: (...args: unknown[]) => {
      const given = args[0] as { name?: string; text: string } | string;
      const what = typeof given === 'string' ? given : `${given.name ?? ''} ${given.text}`;
      const answer = Reflect.apply(query, pool, args);
      if (!matches.test(what)) return answer;
      const opened = gate(n++);
      return answer.then((rows) => opened.then(() => rows));
    },
  });
}

const LOOK_FOR_ASSISTANT = /^run-parties /;

/** Oldest first. */
async function runsOf(threadId: string): Promise<Run[]> {
  const { rows } = await app.core.pool.query<Run>(
    'SELECT run_id, kwargs FROM runs WHERE thread_id = $1 ORDER BY position',
    [threadId],
  );
  return rows;
}

const runIdOf = (answer: Answer): unknown => answer.result?.['run_id'];

async function interruptedThread(): Promise<string> {
  const { assistantId, core } = app;
  const threadId = newId();
  await core.pool.query(
    `INSERT INTO threads (thread_id, status, interrupts, metadata)
     VALUES ($1, 'interrupted', '{"task":[{"id":"q","value":1}]}', $2)`,
    [threadId, { assistant_id: assistantId, graph_id: 'test' }],
  );
  return threadId;
}

test('runs are made in the order in which one connection asks for them', async () => {
  const threadId = newId();
  const socket = await openSocket(app.url, threadId);
  const first = createDeferred();
  holdQueries(LOOK_FOR_ASSISTANT, (n) => (n === 0 ? first.promise : Promise.resolve()));
  const starts = [1, 2, 3].map((n) =>
    socket.send('run.start', { assistant_id: 'test', input: { n } }),
  );
  // Time enough for the others to be made. What makes no run waits for nobody.
  for (let n = 0; n < 5; n++)
    expect(await socket.send('subscription.unsubscribe', { subscription_id: 'x' })).toMatchObject({
      error: 'no_such_subscription',
    });
  first.resolve();
  const answers = await Promise.all(starts);
  const runs = await runsOf(threadId);
  expect(runs.map(({ run_id: id }) => id)).toEqual(answers.map(runIdOf));
  expect(runs.map(({ kwargs }) => kwargs.input)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  socket.ws.terminate();
});

test('a run that is refused does not hold up the next', async () => {
  const socket = await openSocket(app.url, newId());
  const [refused, made] = await Promise.all([
    socket.send('run.start', { assistant_id: 'nobody' }),
    socket.send('run.start', { assistant_id: 'test' }),
  ]);
  expect([refused.type, made.type]).toEqual(['error', 'success']);
  socket.ws.terminate();
});

test('an answer that waits for its question waits for runs asked for before it, and holds up none', async () => {
  const threadId = newId();
  const socket = await openSocket(app.url, threadId);
  const start = (): Promise<Answer> => socket.send('run.start', { assistant_id: 'test' });
  const first = start();
  // Without the run before it the thread would have no assistant.
  const responded = socket.send('input.respond', { interrupt_id: 'q', response: 1 });
  expect((await start()).type).toBe('success');
  expect((await first).type).toBe('success');
  const runs = await runsOf(threadId);
  expect(runs).toHaveLength(2);
  await app.call('POST', '/runs/cancel', {
    thread_id: threadId,
    run_ids: runs.map(({ run_id: id }) => id),
  });
  expect(await responded).toMatchObject({ error: 'invalid_argument' });
  socket.ws.terminate();
});

test.each(['run.start', 'input.respond'])(
  '%s: a term that no run has begun answers nothing, so the answer is one',
  async (method) => {
    const threadId = await interruptedThread();
    // As when another run of the thread is deleted, or its states are pruned.
    holdQueries(/^read-thread /, async (n) => {
      if (n > 0) return;
      const raise = 'UPDATE threads SET term = term + 1 WHERE thread_id = $1';
      await app.core.pool.query(raise, [threadId]);
    });
    const answer = await command(
      app.url,
      threadId,
      method,
      method === 'run.start'
        ? { assistant_id: app.assistantId, input: 'yes' }
        : { interrupt_id: 'q', response: 'yes' },
    );
    expect(answer.type).toBe('success');
    const [run] = await runsOf(threadId);
    expect(JSON.stringify(run?.kwargs.command?.resume)).toContain('yes');
  },
);

describe('of two that answer one question at once', () => {
  /** Both have seen the question before either has answered it. */
  function holdUntilBothHaveSeen(): void {
    const both = createDeferred();
    holdQueries(/^read-thread /, (n) => {
      if (n === 1) both.resolve();
      return both.promise;
    });
  }

  test.each([undefined, 'enqueue', 'interrupt', 'rollback'])(
    'run.start: the other is input for after it (%s)',
    async (multitaskStrategy) => {
      const threadId = await interruptedThread();
      holdUntilBothHaveSeen();
      const answers = await Promise.all(
        ['a', 'b'].map((input) =>
          command(app.url, threadId, 'run.start', {
            assistant_id: app.assistantId,
            input,
            multitaskStrategy,
          }),
        ),
      );
      expect(answers.map(({ type }) => type)).toEqual(['success', 'success']);
      const runs = await runsOf(threadId);
      const last = runs.at(-1)?.kwargs;
      if (multitaskStrategy === 'interrupt' || multitaskStrategy === 'rollback')
        // It takes back the answer that nobody has begun with, and the question is open again.
        expect(last?.command?.resume).toBeDefined();
      else {
        expect(runs.map(({ kwargs }) => kwargs.command !== null)).toEqual([true, false]);
        expect([runs[0]?.kwargs.command?.resume, last?.input].sort()).toEqual(['a', 'b']);
      }
    },
  );

  test('run.start with reject: the other is refused', async () => {
    const threadId = await interruptedThread();
    holdUntilBothHaveSeen();
    const answers = await Promise.all(
      ['a', 'b'].map((input) =>
        command(app.url, threadId, 'run.start', {
          assistant_id: app.assistantId,
          input,
          multitaskStrategy: 'reject',
        }),
      ),
    );
    expect(answers.map(({ type }) => type).sort()).toEqual(['error', 'success']);
    expect(await runsOf(threadId)).toHaveLength(1);
  });

  test('input.respond: the other is refused', async () => {
    const threadId = await interruptedThread();
    holdUntilBothHaveSeen();
    const answers = await Promise.all(
      ['a', 'b'].map((response) =>
        command(app.url, threadId, 'input.respond', { interrupt_id: 'q', response }),
      ),
    );
    expect(answers.map(({ error }) => error ?? 'none').sort()).toEqual([
      'no_such_interrupt',
      'none',
    ]);
    expect(await runsOf(threadId)).toHaveLength(1);
  });
});
