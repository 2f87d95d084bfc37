/** A group is told of what its maker may see, and seen by who may see all of that. */
import { as, startAuthServer } from '../../support/auth-project/people.ts';
import type { Call } from '../../support/auth-project/people.ts';
import { startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const WAIT = { timeoutMs: 20_000 };

let server: TestServer;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  server = await startAuthServer({ environment: { WEBHOOK_ALLOW: '*' } });
});
afterAll(async () => {
  await server.stop();
  await receiver.stop();
});

async function run(call: Call): Promise<string> {
  const thread = (await call('POST', '/threads', {})).json() as { thread_id: string };
  const wait = `/threads/${thread.thread_id}/runs/wait`;
  const answer = await call('POST', wait, { assistant_id: 'agent', input: { n: 1 } });
  expect(answer.status).toBe(200);
  return thread.thread_id;
}

const threadsOf = (path: string): string[] => [
  ...new Set(receiver.of(path).map(({ body }) => String(body['thread_id']))),
];

test('each gets and sees their own', async () => {
  const [ada, bob, root] = [as(server, 'ada'), as(server, 'bob'), as(server, 'root')];
  const make = (call: Call, name: string): ReturnType<Call> =>
    call('POST', '/consumer-groups', { name, url: `${receiver.url}/${name}` });
  expect((await make(as(server, 'banned'), 'none')).status).toBe(403);
  expect((await make(as(server, undefined), 'none')).status).toBe(401);
  expect((await make(ada, 'of-ada')).status).toBe(200);
  expect((await make(root, 'of-root')).status).toBe(200);

  const [hers, his] = [await run(ada), await run(bob)];
  await waitUntil(() => threadsOf('/of-root').length === 2 && threadsOf('/of-ada').length, WAIT);
  // Positions that have nothing left: his thread was looked at for her group, too.
  await waitUntil(async () => {
    const { rows } = await server.core.pool.query(
      'SELECT 1 FROM consumer_group_positions WHERE archived_seq > seq',
    );
    return rows.length === 0;
  }, WAIT);
  expect(threadsOf('/of-root').toSorted()).toEqual([hers, his].toSorted());
  expect(threadsOf('/of-ada')).toEqual([hers]);

  const names = async (call: Call): Promise<string[]> =>
    ((await call('GET', '/consumer-groups')).json() as { name: string }[]).map(({ name }) => name);
  expect(await names(ada)).toEqual(['of-ada']);
  expect(await names(bob)).toEqual([]);
  expect(await names(root)).toEqual(['of-ada', 'of-root']);
  for (const [method, path] of [
    ['GET', '/consumer-groups/of-ada'],
    ['DELETE', '/consumer-groups/of-ada'],
    ['GET', '/consumer-groups/of-ada/dead-letters'],
    ['POST', '/consumer-groups/of-ada/dead-letters/replay'],
    ['GET', '/consumer-groups/of-root'],
  ] as const)
    expect((await bob(method, path)).status).toBe(404);
  expect((await ada('DELETE', '/consumer-groups/of-ada')).status).toBe(204);
});
