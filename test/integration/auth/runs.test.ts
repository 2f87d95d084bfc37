/** Whose a run is: what its graph is told, what clients cannot forge, what readers and webhooks are not shown. */
import { STREAM_MODES } from '../../../src/graphs/port.ts';
import { createThread } from '../../support/app.ts';
import { as, startAuthServer } from '../../support/auth-project/people.ts';
import type { Call } from '../../support/auth-project/people.ts';
import { revoke } from '../../support/auth-project/auth.ts';
import { startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

let server: TestServer;
let receiver: Receiver;
let ada: Call, bob: Call, root: Call;
beforeAll(async () => {
  receiver = await startReceiver();
  server = await startAuthServer({
    environment: { WEBHOOK_ALLOW: '*', SWEEPER_INTERVAL: '0.3' },
  });
  [ada, bob, root] = ['ada', 'bob', 'root'].map((name) => as(server, name)) as [Call, Call, Call];
});
afterAll(async () => {
  await server.stop();
  await receiver.stop();
});

/** As the graph was told. */
const told = (name: string): object => ({
  user: {
    identity: name,
    display_name: name,
    is_authenticated: true,
    permissions: [`${name}:all`],
    token: `token-of-${name}`,
  },
  id: name,
  permissions: [`${name}:all`],
  userId: name,
});
const FORGED = {
  langgraph_auth_user: { identity: 'bob' },
  langgraph_auth_user_id: 'bob',
  langgraph_auth_permissions: ['bob:all'],
  user_id: 'bob',
};

test.each([
  ['of the request', { config: { configurable: FORGED } }],
  ['of nobody', {}],
])('the graph is told who asks, whatever the configuration %s says', async (_whose, body) => {
  const answer = await ada('POST', '/runs/wait', { assistant_id: 'agent', input: {}, ...body });
  expect(answer.json()).toMatchObject({ user: told('ada') });
});

test('nor can an assistant, a thread or a command of protocol v2', async () => {
  const assistant = await ada('POST', '/assistants', {
    graph_id: 'agent',
    config: { configurable: FORGED },
  });
  const { assistant_id } = assistant.json() as { assistant_id: string };
  const thread = (await ada('POST', '/threads', {})).json() as { thread_id: string };
  await server.core.pool.query('UPDATE threads SET config = $2 WHERE thread_id = $1', [
    thread.thread_id,
    JSON.stringify({ configurable: FORGED }),
  ]);
  const runs = `/threads/${thread.thread_id}/runs`;
  const answer = await ada('POST', `${runs}/wait`, { assistant_id, input: {} });
  expect(answer.json()).toMatchObject({ user: told('ada') });
  const started = await ada('POST', `/threads/${thread.thread_id}/commands`, {
    id: 1,
    method: 'run.start',
    params: { assistant_id, input: {}, config: { configurable: FORGED } },
  });
  const { result } = started.json() as { result: { run_id: string } };
  const joined = await ada('GET', `${runs}/${result.run_id}/join`);
  expect(joined.json()).toMatchObject({ user: told('ada') });
});

test('on a shared thread each run is who asked for it', async () => {
  const thread = (await ada('POST', '/threads', {})).json() as { thread_id: string };
  const path = `/threads/${thread.thread_id}/runs/wait`;
  const answer = await root('POST', path, { assistant_id: 'agent', input: {} });
  expect(answer.json()).toMatchObject({ user: told('root') });
  expect((await ada('POST', path, { assistant_id: 'agent', input: {} })).json()).toMatchObject({
    user: told('ada'),
  });
});

test('credentials reach the graph and nobody else', async () => {
  const run = await ada('POST', '/runs', {
    assistant_id: 'agent',
    input: { sleepMs: 1 },
    webhook: receiver.url,
  });
  const { run_id: runId, thread_id: threadId } = run.json() as Record<string, string>;
  const path = `/threads/${threadId ?? ''}/runs/${runId ?? ''}`;
  await ada('GET', `${path}/join`);
  const sent = await waitUntil(
    () => receiver.received.find(({ body }) => body['run_id'] === runId),
    { timeoutMs: 20_000, what: 'the webhook' },
  );
  const { values: _values, ...rest } = sent.body;
  const checkpoint = (await ada('GET', `/threads/${threadId ?? ''}/history`)).json() as {
    metadata: object;
  }[];
  const shown = [run.text, (await ada('GET', path)).text, JSON.stringify(rest)].concat(
    checkpoint.map(({ metadata }) => JSON.stringify(metadata)),
  );
  expect(checkpoint.length).toBeGreaterThan(0);
  for (const text of shown) expect(text).not.toContain('token-of-ada');
  expect((await ada('GET', path)).json()).toMatchObject({
    kwargs: { config: { configurable: { user_id: 'ada' } } },
  });
});

test('no stream mode shows credentials to who reads the thread', async () => {
  const { thread_id: id } = (await ada('POST', '/threads', {})).json() as { thread_id: string };
  for (const mode of STREAM_MODES) {
    // It stops before it keeps in its state who asked.
    const body = { assistant_id: 'agent', input: { ask: true }, stream_mode: mode };
    const { status, text } = await ada('POST', `/threads/${id}/runs/stream`, body);
    expect([mode, status, text.includes('token-of-ada')]).toEqual([mode, 200, false]);
  }
  const update = await ada('POST', `/threads/${id}/state`, { values: { n: 9 } });
  expect([update.status, update.text.includes('token-of-ada')]).toEqual([200, false]);
});

describe('a cron', () => {
  const make = async (body: object = {}): Promise<{ cron_id: string; user_id: string }> => {
    const answer = await ada('POST', '/runs/crons', {
      assistant_id: 'agent',
      schedule: '0 0 1 1 *',
      on_run_completed: 'keep',
      input: {},
      ...body,
    });
    return answer.json() as { cron_id: string; user_id: string };
  };
  const makeDue = async (cronId: string): Promise<void> => {
    await server.core.pool.query(
      `UPDATE crons SET next_run_date = now() - interval '1 s' WHERE cron_id = $1`,
      [cronId],
    );
  };
  const tickOf = (cronId: string): Promise<{ run_id: string | null; error: string | null }> =>
    waitUntil(
      async () => {
        const { rows } = await server.core.pool.query<{
          run_id: string | null;
          error: string | null;
        }>('SELECT run_id, error FROM cron_ticks WHERE cron_id = $1', [cronId]);
        return rows[0];
      },
      { timeoutMs: 20_000, what: 'the date to pass' },
    );

  test('is its maker’s, and so are its runs and their threads', async () => {
    const cron = await make();
    expect(cron.user_id).toBe('ada');
    expect(JSON.stringify(cron)).not.toContain('token-of-ada');
    await makeDue(cron.cron_id);
    const { run_id: runId } = await tickOf(cron.cron_id);
    const { rows } = await server.core.pool.query<{ thread_id: string }>(
      'SELECT thread_id FROM runs WHERE run_id = $1',
      [runId],
    );
    const path = `/threads/${rows[0]?.thread_id ?? ''}/runs/${runId ?? ''}`;
    expect((await ada('GET', `${path}/join`)).json()).toMatchObject({ user: told('ada') });
    expect((await bob('GET', path)).status).toBe(404);
    const found = await ada('POST', '/threads/search', { metadata: { cron_id: cron.cron_id } });
    expect(found.json()).toHaveLength(1);
  });

  test('makes no runs that its maker may no longer have', async () => {
    const cron = await make();
    revoke('ada', 'threads:create_run');
    try {
      await makeDue(cron.cron_id);
      expect(await tickOf(cron.cron_id)).toEqual({
        run_id: null,
        error: 'AuthRefusedError: Forbidden',
      });
      const refused = await ada('POST', '/runs/crons', {
        assistant_id: 'agent',
        schedule: '0 0 1 1 *',
      });
      expect(refused.status).toBe(403);
    } finally {
      revoke('ada', undefined);
    }
  });

  test('whose payload another changes is that one’s: nothing runs in a name that has not asked for it', async () => {
    const cron = await make();
    const path = `/runs/crons/${cron.cron_id}`;
    expect((await root('PATCH', path, { enabled: true })).json()).toMatchObject({ user_id: 'ada' });
    expect((await root('PATCH', path, { input: { n: 5 } })).json()).toMatchObject({
      user_id: 'root',
    });
    await makeDue(cron.cron_id);
    const { run_id: runId } = await tickOf(cron.cron_id);
    const { rows } = await server.core.pool.query<{ thread_id: string }>(
      'SELECT thread_id FROM runs WHERE run_id = $1',
      [runId],
    );
    const run = `/threads/${rows[0]?.thread_id ?? ''}/runs/${runId ?? ''}`;
    expect((await root('GET', `${run}/join`)).json()).toMatchObject({ n: 6, user: told('root') });
  });

  test('of nobody makes none, until somebody who may takes it over', async () => {
    const { cron_id: cronId } = await make();
    await server.core.pool.query(
      `UPDATE crons SET auth = NULL, user_id = NULL WHERE cron_id = $1`,
      [cronId],
    );
    await makeDue(cronId);
    expect(await tickOf(cronId)).toMatchObject({ run_id: null });
    const patched = await ada('PATCH', `/runs/crons/${cronId}`, { metadata: { a: 1 } });
    expect(patched.json()).toMatchObject({ user_id: 'ada' });
    await root('PATCH', `/runs/crons/${cronId}`, { metadata: { b: 1 } });
    const { rows } = await server.core.pool.query<{ user_id: string }>(
      'SELECT user_id FROM crons WHERE cron_id = $1',
      [cronId],
    );
    expect(rows[0]?.user_id).toBe('ada');
  });
});

test('a thread without an owner is nobody’s but who sees everything', async () => {
  const threadId = await createThread(server);
  expect((await ada('GET', `/threads/${threadId}`)).status).toBe(404);
  expect((await root('GET', `/threads/${threadId}`)).status).toBe(200);
});
