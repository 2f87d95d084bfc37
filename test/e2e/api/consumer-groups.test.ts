/** Consumer groups over HTTP, with two servers and two workers: what a run says comes to whoever made a group. */
import { randomUUID } from 'node:crypto';
import { call, client, newThread, said } from '../../support/api.ts';
import { startReceiver, status } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { waitUntil } from '../../support/wait-until.ts';

const SOON = { timeoutMs: 20_000 };
/** Names are of the whole deployment, which is not this file's alone. */
const name = `group-${randomUUID()}`;

let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(async () => {
  await call('DELETE', `/consumer-groups/${name}`);
  await receiver.stop();
});

test('a consumer group is made, found, gets every event, and is removed', async () => {
  const threadId = await newThread();
  const body = { name, url: `${receiver.url}/group`, thread_id: threadId };
  const made = await call('POST', '/consumer-groups', body);
  expect([made.status, made.json<object>()]).toEqual([200, expect.objectContaining(body)]);
  expect((await call('POST', '/consumer-groups', body)).status).toBe(409);
  expect((await call('GET', `/consumer-groups/${name}`)).json<object>()).toEqual(made.json());
  expect((await call('GET', '/consumer-groups')).json<{ name: string }[]>()).toContainEqual(
    made.json(),
  );

  await client.runs.wait(threadId, 'agent', { input: said('hi') });
  const events = await waitUntil(() => {
    const all = receiver
      .of('/group')
      .flatMap((received) => received.body['events'] as { seq: number; type: string }[]);
    return all.filter(({ type }) => type === 'values').length >= 2 ? all : undefined;
  }, SOON);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));

  const letters = `/consumer-groups/${name}/dead-letters`;
  expect((await call('GET', letters)).json<unknown[]>()).toEqual([]);
  expect((await call('POST', `${letters}/replay`)).json<object>()).toEqual({ replaying: 0 });

  expect((await call('DELETE', `/consumer-groups/${name}`)).status).toBe(204);
  expect((await call('GET', `/consumer-groups/${name}`)).status).toBe(404);
  expect((await call('GET', letters)).status).toBe(404);
});

test('a receiver that fails gets the same events again', async () => {
  const threadId = await newThread();
  receiver.received.length = 0;
  receiver.answers.push(status(500));
  const url = `${receiver.url}/again`;
  await call('POST', '/consumer-groups', {
    name,
    url,
    thread_id: threadId,
    event_types: ['values'],
  });
  await client.runs.wait(threadId, 'agent', { input: said('hi') });
  await waitUntil(() => receiver.of('/again').length >= 2, { timeoutMs: 30_000 });
  const [first, second] = receiver.of('/again').map(({ body }) => body['events']);
  expect(second).toEqual(first);
});
