/** Every resource over HTTP: one's own, another's, and for nobody. */
import { defaultAssistantId, newId } from '../../../src/ids.ts';
import { as, makeBelongings, startAuthServer } from '../../support/auth-project/people.ts';
import type { Belongings, Call } from '../../support/auth-project/people.ts';
import { startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import type { TestServer } from '../../support/server.ts';

let server: TestServer;
let receiver: Receiver;
let ada: Call, bob: Call, nobody: Call, root: Call, banned: Call;
let hers: Belongings, his: Belongings;
beforeAll(async () => {
  receiver = await startReceiver();
  server = await startAuthServer({ environment: { WEBHOOK_ALLOW: '*' } });
  [ada, bob, nobody, root, banned] = ['ada', 'bob', undefined, 'root', 'banned'].map((name) =>
    as(server, name),
  ) as [Call, Call, Call, Call, Call];
  hers = await makeBelongings(ada, receiver.url);
  his = await makeBelongings(bob, receiver.url);
});
afterAll(async () => {
  await server.stop();
  await receiver.stop();
});

describe('authentication', () => {
  test('nobody gets the answer of the project, with its headers', async () => {
    const answer = await nobody('GET', `/threads/${hers.thread_id}`);
    expect([answer.status, answer.text]).toEqual([
      401,
      `Who are you, GET /threads/${hers.thread_id}?`,
    ]);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="mill"');
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    expect((await nobody('GET', '/no/such/route')).status).toBe(401);
  });

  test('a failure of the project tells nothing', async () => {
    const answer = await as(server, 'fault')('GET', '/threads/x');
    expect([answer.status, answer.text]).toEqual([500, 'Internal Server Error']);
  });

  test.each(['/ok', '/info', '/health', '/metrics', '/openapi.json', '/docs'])(
    '%s is for everybody',
    async (path) => {
      expect((await nobody('GET', path)).status).toBe(200);
    },
  );

  test('a preflight is answered', async () => {
    expect((await nobody('OPTIONS', '/threads')).status).toBe(204);
  });

  test('Studio is not let in where it is disabled', async () => {
    const answer = await server.call('GET', `/threads/${hers.thread_id}`, undefined, {
      'x-auth-scheme': 'langsmith',
    });
    expect(answer.status).toBe(401);
  });

  test('the custom app is behind it, and is told who asks', async () => {
    expect((await nobody('GET', '/whoami')).status).toBe(401);
    expect((await nobody('GET', '/ui/../whoami')).status).toBe(401);
    expect((await ada('GET', '/whoami')).json()).toEqual({ identity: 'ada' });
  });

  test('the document tells that it is needed', async () => {
    const document = (await nobody('GET', '/openapi.json')).json();
    expect(document).toMatchObject({
      security: [{ bearer: [] }, { apiKey: [] }],
      paths: {
        '/threads': { post: { responses: { 401: {}, 403: {} } } },
        '/ok': { get: { security: [] } },
      },
    });
  });
});

/** [what, method, path, body, status for its owner, status for another]; `:name` is filled with one of the ids. */
type Row = [string, string, unknown, number, number];
const READS: Row[] = [
  ['GET', '/threads/:thread_id', undefined, 200, 404],
  ['GET', '/threads/:thread_id/state', undefined, 200, 404],
  ['GET', '/threads/:thread_id/state/:checkpoint_id', undefined, 200, 404],
  ['POST', '/threads/:thread_id/state/checkpoint', { checkpoint: {} }, 200, 404],
  ['GET', '/threads/:thread_id/history', undefined, 200, 404],
  ['POST', '/threads/:thread_id/history', {}, 200, 404],
  ['GET', '/threads/:thread_id/runs', undefined, 200, 404],
  ['GET', '/threads/:thread_id/runs/:run_id', undefined, 200, 404],
  ['GET', '/threads/:thread_id/runs/:run_id/join', undefined, 200, 404],
  ['GET', '/threads/:hidden_thread_id/runs/:hidden_run_id/join', undefined, 200, 404],
  ['GET', '/runs/:run_id/stream', undefined, 200, 404],
  ['GET', '/runs/:hidden_run_id/stream', undefined, 200, 404],
  ['GET', '/assistants/:assistant_id', undefined, 200, 404],
  ['GET', '/assistants/:assistant_id/graph', undefined, 200, 404],
  ['GET', '/assistants/:assistant_id/schemas', undefined, 200, 404],
  ['GET', '/assistants/:assistant_id/subgraphs', undefined, 200, 404],
  ['POST', '/assistants/:assistant_id/versions', {}, 200, 404],
];
const CHANGES: Row[] = [
  ['PATCH', '/threads/:thread_id', { metadata: { a: 1 } }, 200, 404],
  ['PATCH', '/threads/:thread_id/state', { metadata: { a: 1 } }, 200, 404],
  ['POST', '/threads/:thread_id/state', { values: { n: 5 } }, 200, 404],
  ['POST', '/threads/:thread_id/copy', undefined, 200, 409],
  ['POST', '/threads/:thread_id/runs', { assistant_id: 'agent' }, 200, 404],
  ['POST', '/threads/:thread_id/runs/wait', { assistant_id: 'agent' }, 200, 404],
  ['POST', '/threads/:thread_id/runs/stream', { assistant_id: 'agent' }, 200, 404],
  [
    'POST',
    '/threads/:thread_id/runs/wait',
    { assistant_id: 'agent', if_not_exists: 'create', multitask_strategy: 'rollback' },
    200,
    404,
  ],
  ['POST', '/threads/:thread_id/runs/:run_id/cancel', undefined, 202, 404],
  ['PATCH', '/assistants/:assistant_id', { name: 'n' }, 200, 404],
  ['POST', '/assistants/:assistant_id/latest', { version: 1 }, 200, 404],
  ['POST', '/runs/wait', { assistant_id: ':assistant_id' }, 200, 404],
  ['POST', '/runs/batch', [{ assistant_id: ':assistant_id' }], 200, 404],
  ['POST', '/runs/crons', { assistant_id: ':assistant_id', schedule: '0 0 1 1 *' }, 200, 404],
  [
    'POST',
    '/threads/:thread_id/runs/crons',
    { assistant_id: 'agent', schedule: '0 0 1 1 *' },
    200,
    404,
  ],
  ['PATCH', '/runs/crons/:cron_id', { metadata: { a: 1 } }, 200, 404],
  ['POST', '/webhooks/deliveries/:delivery_id/replay', undefined, 200, 404],
  ['POST', '/runs/cancel', { thread_id: ':thread_id', run_ids: [':run_id'] }, 204, 404],
  ['POST', '/threads/:thread_id/commands', { id: 1, method: 'state.get', params: {} }, 200, 404],
  ['POST', '/threads/:thread_id/commands', { id: 1, method: 'agent.getTree' }, 200, 404],
  [
    'POST',
    '/threads/:thread_id/commands',
    { id: 1, method: 'run.start', params: { assistant_id: 'agent', input: {} } },
    200,
    404,
  ],
  ['POST', '/threads/:thread_id/commands', { id: 1, method: 'no.such' }, 200, 404],
];
const REMOVALS: Row[] = [
  ['DELETE', '/runs/crons/:cron_id', undefined, 204, 404],
  ['DELETE', '/threads/:thread_id/runs/:run_id', undefined, 204, 404],
  ['DELETE', '/threads/:thread_id', undefined, 204, 404],
  ['DELETE', '/assistants/:assistant_id', undefined, 200, 404],
];

function filled<T>(value: T, ids: Belongings): T {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined
    ? value
    : (JSON.parse(text.replaceAll(/:(\w+_id)/g, (_, name: keyof Belongings) => ids[name])) as T);
}

test.each([...READS, ...CHANGES])(
  '%s %s %j is for its owner',
  async (method, path, body, own, foreign) => {
    const of = (ids: Belongings): [string, string, unknown] => [
      method,
      filled(path, ids),
      filled(body, ids),
    ];
    expect((await nobody(...of(hers))).status).toBe(401);
    expect((await banned(...of(hers))).status).toBe(403);
    expect((await bob(...of(hers))).status).toBe(foreign);
    expect((await ada(...of(hers))).status).toBe(own);
  },
);

test('another cannot be told from none', async () => {
  for (const [method, path, body] of [...READS, ...CHANGES]) {
    const none = Object.fromEntries(
      Object.keys(hers).map((name) => [name, newId()]),
    ) as unknown as Belongings;
    const foreign = await bob(method, filled(path, hers), filled(body, hers));
    const absent = await bob(method, filled(path, none), filled(body, none));
    // run.start and commands on a thread that is not there begin it; the rest must look the same.
    if (path.endsWith('/commands') || JSON.stringify([body]).includes('if_not_exists')) continue;
    const anonymous = (text: string): string => text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID');
    expect([path, foreign.status, anonymous(foreign.text)]).toEqual([
      path,
      absent.status,
      anonymous(absent.text),
    ]);
  }
});

test('lists and counts have what is one’s own', async () => {
  const list = async (call: Call, path: string): Promise<string> =>
    (await call('POST', path, { limit: 1_000 })).text;
  for (const [path, id] of [
    ['/threads/search', 'thread_id'],
    ['/assistants/search', 'assistant_id'],
    ['/runs/crons/search', 'cron_id'],
  ] as const) {
    expect(await list(ada, path)).toContain(hers[id]);
    expect(await list(ada, path)).not.toContain(his[id]);
    expect(await list(root, path)).toContain(hers[id]);
    expect(await list(root, path)).toContain(his[id]);
    expect((await banned('POST', path, {})).status).toBe(403);
    // A page and its total are the caller's.
    const found = await ada('POST', path, { limit: 1_000 });
    const count = await ada('POST', path.replace('search', 'count'), {});
    expect(count.json()).toBe((found.json() as unknown[]).length);
    expect(found.headers.get('x-pagination-total')).toBe(count.text);
    // Asking for the other's by name finds nothing.
    const forged = {
      metadata: { owner: 'bob' },
      ...(id === 'thread_id' ? { ids: [his[id]] } : {}),
    };
    expect((await ada('POST', path, forged)).json()).toEqual([]);
  }
  const deliveries = await ada('GET', '/webhooks/deliveries?limit=1000');
  expect(deliveries.text).toContain(hers.delivery_id);
  expect(deliveries.text).not.toContain(his.delivery_id);
  expect((await ada('GET', `/webhooks/deliveries?run_id=${his.run_id}`)).json()).toEqual([]);
});

test('a taken id is a conflict, whatever is asked of it', async () => {
  for (const if_exists of ['raise', 'do_nothing']) {
    const thread = await bob('POST', '/threads', { thread_id: hers.thread_id, if_exists });
    expect([thread.status, thread.text]).toEqual([409, 'Thread already exists']);
    const body = { assistant_id: hers.assistant_id, graph_id: 'agent', if_exists };
    const assistant = await bob('POST', '/assistants', body);
    expect([assistant.status, assistant.text]).toEqual([409, 'Assistant already exists']);
  }
  const own = { thread_id: hers.thread_id, if_exists: 'do_nothing' };
  expect((await ada('POST', '/threads', own)).status).toBe(200);
});

test('the stamp of a handler is not the client’s to set', async () => {
  const made = await ada('POST', '/threads', { metadata: { owner: 'bob' } });
  expect(made.json()).toMatchObject({ metadata: { owner: 'ada' } });
  const { thread_id: id } = made.json() as { thread_id: string };
  const patched = await ada('PATCH', `/threads/${id}`, { metadata: { owner: 'bob' } });
  expect(patched.json()).toMatchObject({ metadata: { owner: 'ada' } });
});

test('a copy is the copier’s', async () => {
  const copy = (await root('POST', `/threads/${hers.thread_id}/copy`)).json() as {
    thread_id: string;
  };
  // root stamps nothing, so it is still hers.
  expect((await ada('GET', `/threads/${copy.thread_id}`)).status).toBe(200);
  expect((await bob('GET', `/threads/${copy.thread_id}`)).status).toBe(404);
});

test('joining the stream of another’s run, or of none, is one error event', async () => {
  for (const runId of [hers.run_id, newId()]) {
    const path = `/threads/${hers.thread_id}/runs/${runId}/stream`;
    const { status, text, headers } = await bob('GET', path);
    expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    expect(text).toBe(
      'event: error\ndata: {"error":"Error","message":"404: Thread not found"}\n\n',
    );
  }
});

test('the default assistants are for all who may have runs, and not theirs to change', async () => {
  expect((await bob('POST', '/runs/wait', { assistant_id: 'agent', input: {} })).status).toBe(200);
  expect((await bob('PATCH', '/assistants/agent', { name: 'mine' })).status).toBe(404);
  expect((await bob('DELETE', `/assistants/${defaultAssistantId('agent')}`)).status).toBe(404);
});

test('prune and bulk cancel reach what is one’s own', async () => {
  const make = async (call: Call): Promise<[string, string]> => {
    const thread = (await call('POST', '/threads', {})).json() as { thread_id: string };
    const run = await call('POST', `/threads/${thread.thread_id}/runs`, {
      assistant_id: 'agent',
      after_seconds: 3_600,
    });
    return [thread.thread_id, (run.json() as { run_id: string }).run_id];
  };
  const [mine, myRun] = await make(ada);
  const [theirs, theirRun] = await make(bob);
  expect((await ada('POST', '/runs/cancel', { status: 'all' })).status).toBe(204);
  const statusOf = async (call: Call, threadId: string, runId: string): Promise<unknown> =>
    ((await call('GET', `/threads/${threadId}/runs/${runId}`)).json() as { status: string }).status;
  expect(await statusOf(ada, mine, myRun)).toBe('interrupted');
  expect(await statusOf(bob, theirs, theirRun)).toBe('pending');
  for (const strategy of ['keep_latest', 'delete']) {
    const body = { thread_ids: [mine, theirs], strategy };
    expect((await ada('POST', '/threads/prune', body)).json()).toEqual({ pruned_count: 1 });
  }
  expect((await bob('GET', `/threads/${theirs}`)).status).toBe(200);
});

test('namespaces of the store are put under the user’s by the handler', async () => {
  const item = { namespace: ['shared'], key: 'k', value: { of: 'ada' } };
  expect((await ada('PUT', '/store/items', item)).status).toBe(204);
  expect((await ada('GET', '/store/items?namespace=shared&key=k')).json()).toMatchObject({
    namespace: ['users', 'ada', 'shared'],
    value: { of: 'ada' },
  });
  expect((await bob('GET', '/store/items?namespace=shared&key=k')).json()).toBeNull();
  expect((await bob('GET', '/store/items?namespace=users.ada.shared&key=k')).json()).toBeNull();
  const found = async (call: Call): Promise<string> =>
    (await call('POST', '/store/items/search', { namespace_prefix: [] })).text;
  expect(await found(ada)).toContain('shared');
  expect(await found(bob)).not.toContain('ada');
  expect((await bob('POST', '/store/namespaces', {})).json()).toEqual({
    namespaces: [['users', 'bob', 'notes']],
  });
  expect((await bob('POST', '/store/namespaces', { prefix: ['*'] })).text).not.toContain('ada');
  expect((await bob('DELETE', '/store/items', { namespace: ['shared'], key: 'k' })).status).toBe(
    204,
  );
  expect((await ada('GET', '/store/items?namespace=shared&key=k')).json()).not.toBeNull();
  expect((await banned('POST', '/store/namespaces', {})).status).toBe(403);
  expect((await nobody('PUT', '/store/items', item)).status).toBe(401);
});

test('an idempotency key is one user’s, and is no permission', async () => {
  const post = (name: string): ReturnType<TestServer['call']> =>
    server.call(
      'POST',
      '/runs',
      { assistant_id: 'agent', input: {} },
      {
        'x-api-key': name,
        'idempotency-key': 'same',
      },
    );
  const runOf = async (name: string): Promise<string> =>
    ((await post(name)).json() as { run_id: string }).run_id;
  const first = await runOf('ada');
  expect(await runOf('ada')).toBe(first);
  expect(await runOf('bob')).not.toBe(first);
  await server.core.pool.query(
    `UPDATE threads SET metadata = metadata || '{"owner": "root"}'
     WHERE thread_id = (SELECT thread_id FROM runs WHERE run_id = $1)`,
    [first],
  );
  expect((await post('ada')).status).toBe(404);
});

test.each(REMOVALS)('%s %s %j is for its owner', async (method, path, body, own, foreign) => {
  expect((await nobody(method, filled(path, hers), body)).status).toBe(401);
  expect((await bob(method, filled(path, hers), body)).status).toBe(foreign);
  expect((await ada(method, filled(path, hers), body)).status).toBe(own);
});

test('a delivery that outlives its thread is still its owner’s', async () => {
  const path = `/webhooks/deliveries?run_id=${hers.run_id}`;
  expect((await ada('GET', path)).text).toContain(hers.delivery_id);
  expect((await bob('GET', path)).json()).toEqual([]);
  // Clients choose ids: a thread that is gone comes back as another's, its deliveries do not.
  expect((await bob('POST', '/threads', { thread_id: hers.thread_id })).status).toBe(200);
  expect((await bob('GET', path)).json()).toEqual([]);
  const replay = `/webhooks/deliveries/${hers.delivery_id}/replay`;
  expect((await bob('POST', replay)).status).toBe(404);
  expect((await ada('GET', path)).text).toContain(hers.delivery_id);
});
