/**
 * One user never sees an id or a text of another, whatever is asked, and changes nothing of the other's: random requests to
 * every operation of the API's document, filled with the ids of both.
 */
import fc from 'fast-check';
import type { Operation } from '../../../src/server/openapi/operation.ts';
import { NOUNS } from '../../../src/server/openapi/nouns.ts';
import { as, makeBelongings, startAuthServer } from '../../support/auth-project/people.ts';
import type { Belongings, Call } from '../../support/auth-project/people.ts';
import { startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const REQUESTS = 1_500;
/** Answers that last as long as the client stays are read for this long. */
const READ_MS = 150;
/** Those that end are read to their end. */
const WHOLE_MS = 20_000;
/** What bob has written everywhere. */
const SECRET = 'the-secret-of-bob';

let server: TestServer;
let receiver: Receiver;
let mine: Belongings, theirs: Belongings;
beforeAll(async () => {
  receiver = await startReceiver();
  server = await startAuthServer({ environment: { WEBHOOK_ALLOW: '*' } });
  const bob = as(server, 'bob');
  mine = await makeBelongings(as(server, 'ada'), receiver.url);
  theirs = await makeBelongings(bob, `${receiver.url}/${SECRET}`);
  await write(bob);
  // What becomes of a delivery is written into bob's rows.
  await waitUntil(
    async () => {
      const { rows } = await server.core.pool.query(
        `SELECT 1 FROM webhook_deliveries WHERE status = 'pending'`,
      );
      return rows.length === 0;
    },
    { timeoutMs: 20_000, what: 'the webhooks to be delivered' },
  );
});
afterAll(async () => {
  await server.stop();
  await receiver.stop();
});

async function write(bob: Call): Promise<void> {
  const metadata = { note: SECRET };
  const config = { configurable: { note: SECRET } };
  await bob('PATCH', `/threads/${theirs.thread_id}`, { metadata });
  await bob('PATCH', `/assistants/${theirs.assistant_id}`, { metadata, config, name: SECRET });
  await bob('PATCH', `/runs/crons/${theirs.cron_id}`, { metadata });
  const wait = { assistant_id: theirs.assistant_id, input: { user: SECRET }, metadata };
  await bob('POST', `/threads/${theirs.thread_id}/runs/wait`, wait);
  await bob('PUT', '/store/items', { namespace: [SECRET], key: SECRET, value: { note: SECRET } });
}

/** All of bob's rows, as they are. */
async function rowsOfBob(): Promise<string> {
  const { rows } = await server.core.pool.query<{ all: string }>(
    `SELECT coalesce(string_agg(r, E'\\n' ORDER BY r), '') AS all FROM (
       SELECT to_json(t)::text AS r FROM threads t WHERE metadata @> '{"owner":"bob"}'
       UNION ALL SELECT to_json(t)::text FROM assistants t WHERE metadata @> '{"owner":"bob"}'
       UNION ALL SELECT to_json(t)::text FROM crons t WHERE metadata @> '{"owner":"bob"}'
       UNION ALL SELECT to_json(r)::text FROM runs r JOIN threads t USING (thread_id) WHERE t.metadata @> '{"owner":"bob"}'
       UNION ALL SELECT to_json(d)::text FROM webhook_deliveries d JOIN threads t USING (thread_id) WHERE t.metadata @> '{"owner":"bob"}'
       UNION ALL SELECT to_json(i)::text FROM store_items i WHERE namespace[1:2] = '{users,bob}'
     ) AS all_rows`,
  );
  return rows[0]?.all ?? '';
}

interface Sent {
  operation: Operation;
  path: string;
  body: unknown;
  lastEventId: string | undefined;
}

const operations = NOUNS.flatMap((noun) => noun.operations);

/** Bodies that get past the schemas, of ids of either. */
const bodiesFor = (ids: Belongings, other: Belongings): fc.Arbitrary<unknown> => {
  const run = { assistant_id: 'agent', input: {} };
  return fc.constantFrom<unknown>(
    {},
    run,
    [run, { ...run, assistant_id: ids.assistant_id }],
    { ...run, assistant_id: ids.assistant_id },
    { ...run, if_not_exists: 'create', multitask_strategy: 'rollback' },
    { ...run, multitask_strategy: 'interrupt', checkpoint_id: ids.checkpoint_id },
    { ...run, config: { configurable: { thread_id: ids.thread_id, user_id: 'bob' } } },
    { ...run, checkpoint: { thread_id: ids.thread_id, checkpoint_id: ids.checkpoint_id } },
    { assistant_id: ids.assistant_id, schedule: '0 0 1 1 *' },
    { thread_id: ids.thread_id, if_exists: 'do_nothing' },
    { assistant_id: ids.assistant_id, graph_id: 'agent', if_exists: 'do_nothing' },
    { metadata: { owner: 'bob' } },
    { metadata: { owner: 'bob' }, limit: 1_000 },
    { limit: 1_000 },
    { ids: [ids.thread_id, other.thread_id] },
    { thread_ids: [ids.thread_id], strategy: 'keep_latest' },
    { thread_ids: [ids.thread_id] },
    { thread_id: ids.thread_id, run_ids: [ids.run_id, other.run_id] },
    { status: 'all' },
    { checkpoint: { thread_id: ids.thread_id, checkpoint_id: ids.checkpoint_id } },
    { values: { n: 7 } },
    { before: { configurable: { thread_id: ids.thread_id } } },
    { version: 1 },
    { namespace: ['users', 'bob', 'notes'], key: 'k' },
    { namespace: ['notes'], key: 'k', value: {} },
    { namespace_prefix: [] },
    { namespace_prefix: ['users', 'bob'] },
    { prefix: ['*', '*'] },
    { suffix: ['notes'] },
    { channels: ['values', 'updates', 'lifecycle'] },
    { id: 1, method: 'state.get', params: {} },
    { id: 1, method: 'agent.getTree' },
    { id: 1, method: 'run.start', params: { assistant_id: ids.assistant_id, input: {} } },
    { id: 1, method: 'input.respond', params: { interrupt_id: 'x' } },
  );
};

const sent: fc.Arbitrary<Sent> = fc
  .record({
    operation: fc.constantFrom(...operations),
    whose: fc.boolean(),
    mixed: fc.boolean(),
    query: fc.constantFrom(
      '',
      '?limit=1000',
      '?subgraphs=true',
      '?cancel_on_disconnect=1',
      '?namespace=users.bob.notes&key=k',
      '?action=rollback&wait=1',
      '?delete_threads=true',
    ),
    lastEventId: fc.constantFrom(undefined, '-1', '0'),
  })
  .chain(({ operation, whose, mixed, query, lastEventId }) => {
    const [ids, other] = whose ? [theirs, mine] : [mine, theirs];
    const path = operation.path.replaceAll(/:(\w+)/g, (_, name: string) => {
      const from = mixed && name === 'run_id' ? other : ids;
      return (from as Partial<Record<string, string>>)[name] ?? 'none';
    });
    return bodiesFor(ids, other).map((body) => ({
      operation,
      path: path + query,
      body: operation.body === undefined ? undefined : body,
      lastEventId,
    }));
  });

async function textOf(
  { operation, path, body, lastEventId }: Sent,
  name: string,
  limitMs = READ_MS,
): Promise<string> {
  const abort = new AbortController();
  const timer = setTimeout(() => {
    abort.abort();
  }, limitMs);
  let text = '';
  try {
    const response = await fetch(server.url + path, {
      method: operation.method.toUpperCase(),
      headers: {
        'content-type': 'application/json',
        'x-api-key': name,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: abort.signal,
    });
    text += JSON.stringify([...response.headers]);
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? [])
      text += decoder.decode(chunk as Uint8Array, { stream: true });
  } catch {
    // It lasts longer than we read.
  } finally {
    clearTimeout(timer);
  }
  return text;
}

/** Ids and texts of bob's in `text` that the request did not name itself. */
function leaked(text: string, request: Sent): string[] {
  const named = request.path + ((JSON.stringify(request.body) as string | undefined) ?? '');
  return [...Object.values<string>(theirs as unknown as Record<string, string>), SECRET].filter(
    (one) => text.includes(one) && !named.includes(one),
  );
}

test('the look itself would see a leak', async () => {
  const request: Sent = {
    operation: operations[0] as Operation,
    path: '/threads/search',
    body: { limit: 1_000 },
    lastEventId: undefined,
  };
  const post = { ...request, operation: { ...request.operation, method: 'post' as const } };
  expect(leaked(await textOf(post, 'bob', WHOLE_MS), post)).toContain(SECRET);
  expect(leaked(await textOf(post, 'ada', WHOLE_MS), post)).toEqual([]);
});

test('[50] random requests of ada’s show and change nothing of bob’s', async () => {
  const before = await rowsOfBob();
  const requests = fc.sample(sent, { numRuns: REQUESTS, seed: 20_261_120 });
  const lanes = Array.from({ length: 12 }, async (_, lane) => {
    for (let i = lane; i < requests.length; i += 12) {
      const request = requests[i] as Sent;
      const text = await textOf(request, 'ada');
      const { operation, path, body } = request;
      expect([operation.method, path, body, leaked(text, request)]).toEqual([
        operation.method,
        path,
        body,
        [],
      ]);
    }
  });
  await Promise.all(lanes);
  expect(await rowsOfBob()).toBe(before);
}, 240_000);

test('nobody sees anything but what is for everybody', async () => {
  for (const operation of operations) {
    const path = operation.path.replaceAll(
      /:(\w+)/g,
      (_, name: string) => (theirs as Partial<Record<string, string>>)[name] ?? 'none',
    );
    const response = await fetch(server.url + path, { method: operation.method.toUpperCase() });
    const open =
      operation.method === 'get' &&
      /^\/(ok|info|health|ready|metrics|docs|openapi\.json|ui\/)/.test(path);
    expect([operation.path, response.status === 401]).toEqual([operation.path, !open]);
    await response.body?.cancel();
  }
});
