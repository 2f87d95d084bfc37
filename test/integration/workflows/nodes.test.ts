/** Every node type, in documents that a client sends. */
import { createTestDatabase } from '../../support/postgres.ts';
import type { TestDatabase } from '../../support/postgres.ts';
import { hang, startReceiver, status, switchProtocols } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { startSmtp } from '../../support/smtp.ts';
import type { Mailbox } from '../../support/smtp.ts';
import { ai, chain, runDocument } from '../../support/workflows.ts';

type Json = Record<string, unknown>;
const TOKEN = 'token-abcdef-123';

let receiver: Receiver;
let mailbox: Mailbox;
let shop: TestDatabase;
let app: TestServer;
beforeAll(async () => {
  [receiver, mailbox, shop] = await Promise.all([
    startReceiver(),
    startSmtp(),
    createTestDatabase(),
  ]);
  await shop.pool.query(`CREATE TABLE goods (name text, price int);
    INSERT INTO goods VALUES ('tea', 3), ('mill', 900), ('cup', 7)`);
  app = await startTestServer({
    redis: false,
    environment: {
      WEBHOOK_ALLOW: '127.0.0.1',
      SMTP_URL: mailbox.url,
      SMTP_FROM: 'mill@example.org',
      WORKFLOW_SECRET_TOKEN: TOKEN,
      WORKFLOW_SECRET_SHOP: shop.url,
    },
  });
});
afterAll(async () => {
  await app.stop();
  await Promise.all([receiver.stop(), mailbox.stop(), shop.drop()]);
});
beforeEach(() => {
  receiver.received.length = 0;
  receiver.answers.length = 0;
});

const node = (id: string, type: string, config: Json = {}): Json => ({ id, type, config });
const run = (document: Json, inputs: Json = {}): ReturnType<typeof runDocument> =>
  runDocument(app.call, document, { inputs });

test('data from HTTP, filtered and transformed', async () => {
  receiver.answers.push(status(200, {}, JSON.stringify({ items: [{ n: 1 }, { n: 5 }, { n: 9 }] })));
  const execution = await run(
    chain(
      [
        node('fetch', 'data-source', { source: 'http', url: `${receiver.url}/items?q={{word}}` }),
        node('large', 'filter', {
          items: '{{fetch.body.items}}',
          where: { field: 'n', operator: 'gte', value: '{{least}}' },
        }),
        node('shape', 'transformer', {
          output: { found: '{{large}}', text: 'from {{least}} on' },
          output_variable: 'shaped',
        }),
      ],
      { variables: ['word', { name: 'least', default: 5 }] },
    ),
    { word: 'a b&c' },
  );
  expect(execution).toMatchObject({ status: 'success' });
  expect(receiver.received[0]?.path).toBe('/items?q=a%20b%26c');
  expect(execution.output).toEqual({ found: [{ n: 5 }, { n: 9 }], text: 'from 5 on' });
});

test('a server that wants to speak another protocol has not answered', async () => {
  receiver.answers.push(switchProtocols);
  const execution = await run(
    chain([node('fetch', 'data-source', { source: 'http', url: `${receiver.url}/upgrade` })]),
  );
  expect(execution.error?.message).toContain('without an answer');
});

test('data from Postgres, with values that cannot become SQL', async () => {
  const execution = await run(
    chain(
      [
        node('goods', 'data-source', {
          source: 'postgres',
          connection: 'SHOP',
          query: 'SELECT name, price FROM goods WHERE price < $1 AND name <> $2 ORDER BY price;',
          params: ['{{limit}}', "x'; DROP TABLE goods; --"],
        }),
      ],
      { variables: ['limit'] },
    ),
    { limit: 10 },
  );
  expect(execution.output).toEqual([
    { name: 'tea', price: 3 },
    { name: 'cup', price: 7 },
  ]);
});

test.each(['', 'COMMIT; '])('the other database is read only, also behind "%s"', async (first) => {
  const execution = await run(
    chain([
      node('sneaky', 'data-source', {
        source: 'postgres',
        connection: 'SHOP',
        query: `SELECT 1) AS x; ${first}DELETE FROM goods; SELECT * FROM (SELECT 1`,
      }),
    ]),
  );
  expect(execution.status).toBe('error');
  expect(execution.error?.message).toContain('node "sneaky" (data-source)');
  const { rows } = await shop.pool.query('SELECT count(*) AS n FROM goods');
  expect(rows).toEqual([{ n: 3 }]);
});

test('a webhook sends with a secret that shows nowhere, even when the receiver says it back', async () => {
  receiver.answers.push((response) => {
    response.end(JSON.stringify({ you_sent: `Bearer ${TOKEN}` }));
  });
  const execution = await run(
    chain([
      node('shape', 'transformer', { output: { a: 1 } }),
      node('tell', 'webhook', {
        url: `${receiver.url}/tell`,
        headers: { Authorization: 'Bearer {{secret.TOKEN}}' },
      }),
    ]),
  );
  expect(execution.status).toBe('success');
  expect(receiver.received[0]).toMatchObject({
    path: '/tell',
    headers: { authorization: `Bearer ${TOKEN}`, 'idempotency-key': expect.any(String) as string },
    body: { a: 1 },
  });
  expect(execution.outputs['tell']).toEqual({ status: 200, body: { you_sent: 'Bearer ***' } });
  const { rows } = await app.core.pool.query<{ text: string }>(
    `SELECT string_agg(e.data, '') || (SELECT string_agg(r::text, '') FROM runs r) AS text FROM events e`,
  );
  expect(rows[0]?.text).toContain('you_sent');
  expect(rows[0]?.text).not.toContain(TOKEN);
});

test('HTTP nodes obey the rules of webhooks', async () => {
  const blocked = await run(
    chain([node('spy', 'data-source', { source: 'http', url: 'http://169.254.169.254/latest' })]),
  );
  expect(blocked.error?.message).toMatch(
    /^node "spy" \(data-source\): 169\.254\.169\.254 is an internal address/,
  );
  receiver.answers.push(status(302, { location: 'http://169.254.169.254/' }));
  const redirected = await run(chain([node('spy', 'webhook', { url: `${receiver.url}/away` })]));
  expect(redirected.error?.message).toMatch(/node "spy".*answered 302/);
  const scheme = await run(
    chain([node('spy', 'data-source', { source: 'http', url: '{{u}}' })], {
      variables: [{ name: 'u', default: 'file:///etc/passwd' }],
    }),
  );
  expect(scheme.error?.message).toContain(
    'node "spy" (data-source): url: expected one that begins with http',
  );
});

test('a receiver that fails or hangs is an error that names the node', async () => {
  receiver.answers.push(status(500, {}, 'out of order'));
  const failed = await run(chain([node('tell', 'webhook', { url: `${receiver.url}/x` })]));
  expect(failed.error?.message).toMatch(
    /^node "tell" \(webhook\): 127\.0\.0\.1:\d+ answered 500: out of order$/,
  );
  receiver.answers.push(hang);
  const hung = await run(
    chain([node('tell', 'webhook', { url: `${receiver.url}/x`, timeout_seconds: 0.2 })]),
  );
  expect(hung.error?.message).toMatch(/node "tell".*no answer within 0.2 s/);
});

test('mail goes out through the server of the environment', async () => {
  const execution = await run(
    chain(
      [
        node('mail', 'email', {
          to: ['{{who}}', 'b@example.org'],
          subject: 'About {{what}}',
          body: 'Dear {{who}}, it is about {{what}}.',
        }),
      ],
      { variables: ['who', 'what'] },
    ),
    { who: 'a@example.org', what: 'mills' },
  );
  expect(execution.status).toBe('success');
  expect(mailbox.mails).toHaveLength(1);
  expect(mailbox.mails[0]).toMatchObject({
    from: 'mill@example.org',
    to: ['a@example.org', 'b@example.org'],
  });
  expect(mailbox.mails[0]?.text).toContain('Subject: About mills');
  expect(mailbox.mails[0]?.text).toContain('it is about mills.');
});

describe('conditions', () => {
  const forked = {
    name: 'forked',
    variables: ['n'],
    nodes: [
      node('start', 'start'),
      node('size', 'condition', {
        cases: [
          { label: 'large', left: '{{n}}', operator: 'gt', right: 100 },
          { label: 'medium', left: '{{n}}', operator: 'gt', right: 10 },
        ],
        default: 'small',
      }),
      node('large', 'transformer', { output: 'L' }),
      node('medium', 'transformer', { output: 'M' }),
      node('after_medium', 'transformer', { output: '{{medium}}!' }),
      node('small', 'transformer', { output: 'S' }),
      node('join', 'transformer', { output: '{{large}}{{after_medium}}{{small}}' }),
      node('end', 'end'),
    ],
    edges: [
      { from: 'start', to: 'size' },
      { from: 'size', to: 'large', label: 'large' },
      { from: 'size', to: 'medium', label: 'medium' },
      { from: 'size', to: 'small', label: 'small' },
      { from: 'medium', to: 'after_medium' },
      { from: 'large', to: 'join' },
      { from: 'after_medium', to: 'join' },
      { from: 'small', to: 'join' },
      { from: 'join', to: 'end' },
    ],
  };
  test.each([
    [1_000, 'L', ['large']],
    [50, 'M!', ['medium', 'after_medium']],
    [1, 'S', ['small']],
  ])('%d takes one branch and nothing of the others', async (n, output, nodes) => {
    const execution = await run(forked, { n });
    expect(execution.output).toBe(output);
    expect(Object.keys(execution.outputs).sort()).toEqual(
      ['start', 'size', 'join', 'end', ...nodes].sort(),
    );
  });
});

test('independent branches run in parallel', async () => {
  const started = Date.now();
  const branches = ['a', 'b', 'c'].map((id) => node(id, 'delay', { seconds: 2 }));
  const execution = await run({
    name: 'parallel',
    nodes: [
      node('start', 'start'),
      ...branches,
      node('end', 'end', { output: ['{{a}}', '{{b}}', '{{c}}'] }),
    ],
    edges: branches.flatMap(({ id }) => [
      { from: 'start', to: id },
      { from: id, to: 'end' },
    ]),
  });
  expect(execution.output).toEqual([{ seconds: 2 }, { seconds: 2 }, { seconds: 2 }]);
  const [began, ended] = [execution.started_at, execution.ended_at].map((at) =>
    Date.parse(String(at)),
  );
  // One after the other they take six seconds.
  expect((ended ?? 0) - (began ?? 0)).toBeLessThan(5_900);
  expect(Date.now() - started).toBeGreaterThanOrEqual(2_000);
});

test('what one node shares and tells, the next one has', async () => {
  const execution = await run(
    chain([
      ai(
        'first',
        "CALL: set_shared_context('topic', 'it's mills')\nCALL: broadcast_message('here we go')",
        [{ reply: 'done' }],
      ),
      ai('second', "CALL: get_shared_context('topic')", [
        { when: "first to all: here we go\n\ntopic: it's mills", reply: 'heard' },
      ]),
    ]),
  );
  expect(execution).toMatchObject({ status: 'success', outputs: { second: 'heard' } });
});

test('a template that leads nowhere is an error that names node and place', async () => {
  const execution = await run(
    chain([
      node('a', 'transformer', { output: { x: 1 } }),
      node('b', 'transformer', { output: '{{a.y.z}}' }),
    ]),
  );
  expect(execution.error?.message).toBe('node "b" (transformer): {{a.y.z}}: "a" has no .y.z');
});

test.each([
  [{ x: 1 }, 'new'],
  [{ x: 1, y: 2 }, 'known'],
])(
  'whether a field is there can be asked of %j, where it may be missing',
  async (output, label) => {
    const cases = [
      { label: 'new', left: '{{a.y}}', operator: 'not_exists' },
      { label: 'known', left: '{{a.y}}', operator: 'exists' },
    ];
    const execution = await run({
      name: 'missing',
      nodes: [
        node('start', 'start'),
        node('a', 'transformer', { output }),
        node('c', 'condition', { cases, default: 'neither' }),
        node('end', 'end', { output: '{{c}}' }),
      ],
      edges: [
        { from: 'start', to: 'a' },
        { from: 'a', to: 'c' },
        ...['new', 'known', 'neither'].map((each) => ({ from: 'c', to: 'end', label: each })),
      ],
    });
    expect(execution).toMatchObject({ status: 'success', output: label });
  },
);

test('a secret that the environment has not is named', async () => {
  const execution = await run(
    chain([
      node('w', 'webhook', { url: receiver.url, headers: { 'x-api-key': '{{secret.NOWHERE}}' } }),
    ]),
  );
  expect(execution.error?.message).toContain(
    'node "w" (webhook): the environment of the worker has no WORKFLOW_SECRET_NOWHERE',
  );
  expect(receiver.received).toEqual([]);
});
