/**
 * Every operation of /openapi.json with bodies, queries and paths that fit its schema nearly: whatever comes is answered,
 * soon, without a 5xx, and does no harm. `FUZZ_SEED` and `FUZZ_REQUESTS` (per operation) play another or a longer one.
 */
import fc from 'fast-check';
import type { Arbitrary } from 'fast-check';
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1e9);
const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 12);
/** Nothing takes longer than this to begin its answer, on a machine that is busy with other things. */
const ANSWER_MS = 20_000;

const State = Annotation.Root({ n: Annotation<unknown>() });
const graph = new StateGraph(State).addNode('stay', () => ({})).addEdge(START, 'stay');

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  format?: string;
  default?: unknown;
}
interface Parameter {
  name: string;
  in: string;
  schema?: Schema;
}
interface Operation {
  method: string;
  path: string;
  parameters: Parameter[];
  body: Schema | undefined;
}

let app: TestServer;
let operations: Operation[];
let schemas: Record<string, Schema>;
const ids: Record<string, string> = {};
beforeAll(async () => {
  app = await startTestServer({ redis: true, graph, environment: { BG_JOB_TIMEOUT_SECS: '2' } });
  const document = (await app.call('GET', '/openapi.json')).json() as {
    paths: Record<string, Record<string, Record<string, unknown>>>;
    components: { schemas: Record<string, Schema> };
  };
  schemas = document.components.schemas;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const body = operation['requestBody'] as
        { content: Record<string, { schema: Schema }> } | undefined;
      return {
        method: method.toUpperCase(),
        path,
        parameters: (operation['parameters'] ?? []) as Parameter[],
        body: Object.values(body?.content ?? {})[0]?.schema,
      };
    }),
  );
  const thread = await app.call('POST', '/threads', {});
  ids['thread_id'] = (thread.json() as { thread_id: string }).thread_id;
  const run = await app.call('POST', `/threads/${ids['thread_id']}/runs`, {
    assistant_id: 'test',
    input: { n: 1 },
  });
  ids['run_id'] = (run.json() as { run_id: string }).run_id;
  const assistant = await app.call('POST', '/assistants', { graph_id: 'test' });
  ids['assistant_id'] = (assistant.json() as { assistant_id: string }).assistant_id;
});
afterAll(() => app.stop());

const deep = (levels: number): unknown => {
  let value: unknown = 1;
  for (let i = 0; i < levels; i++) value = [value];
  return value;
};
const HOSTILE: readonly unknown[] = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '__proto__',
  'constructor',
  'prototype',
  "'; DROP TABLE runs; --",
  "' OR '1'='1",
  '$1',
  '%s%n',
  "']) redis.call('FLUSHALL') --",
  '../../etc/passwd',
  '*',
  '{"$gt":""}',
  '\r\nset-cookie: a=b',
  'data: x\n\nevent: error',
  'x'.repeat(20_000),
  '00000000-0000-0000-0000-000000000000',
  '-1',
  '9'.repeat(40),
  '1e999',
  'NaN',
  '2099-13-45T99:99:99Z',
  '* * * * *',
  0,
  -1,
  1.5,
  2 ** 53,
  1e308,
  -1e308,
  null,
  true,
  [],
  {},
  [[]],
  JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
  deep(200),
];
const hostile = fc.constantFrom(...HOSTILE);

/** Values that fit `schema`, but for about one in eight at each place. */
function valuesOf(schema: Schema | undefined, name = '', depth = 0): Arbitrary<unknown> {
  return fc.oneof(
    { weight: 7, arbitrary: fitting(schema, name, depth) },
    { weight: 1, arbitrary: hostile },
  );
}

function fitting(schema: Schema | undefined, name: string, depth: number): Arbitrary<unknown> {
  if (schema === undefined || depth > 6) return hostile;
  if (schema.$ref !== undefined)
    return fitting(schemas[schema.$ref.split('/').at(-1) ?? ''], name, depth + 1);
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const among = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (among !== undefined && among.length > 0)
    return fc.oneof(...among.map((part) => fitting(part, name, depth + 1)));
  if (name === 'graph_id') return fc.constant('test');
  const known = ids[name];
  if (known !== undefined) return fc.constant(known);
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'string':
      return schema.format === 'uuid' ? fc.uuid() : fc.string({ maxLength: 40, unit: 'binary' });
    case 'integer':
      return fc.integer({ min: -2, max: 2_000 });
    case 'number':
      return fc.double();
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.array(valuesOf(schema.items, '', depth + 1), { maxLength: 3 });
    case 'object':
      return fc.record(
        Object.fromEntries(
          Object.entries(schema.properties ?? {}).map(([key, part]) => [
            key,
            valuesOf(part, key, depth + 1),
          ]),
        ),
        { requiredKeys: schema.required ?? [] },
      );
    case undefined:
    default:
      return fc.oneof(hostile, fc.jsonValue({ maxDepth: 3 }));
  }
}

const text = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

function requestsOf(operation: Operation): Arbitrary<{ url: string; body: string | undefined }> {
  const parameters = fc.record(
    Object.fromEntries(
      operation.parameters.map(({ name, schema }) => [
        name,
        ids[name] === undefined
          ? valuesOf(schema, name)
          : fc.oneof(
              { weight: 5, arbitrary: fc.constant(ids[name]) },
              { weight: 1, arbitrary: hostile },
            ),
      ]),
    ),
    { requiredKeys: operation.parameters.filter((p) => p.in === 'path').map((p) => p.name) },
  );
  const body =
    operation.body === undefined
      ? fc.constant(undefined)
      : valuesOf(operation.body).map((value) => JSON.stringify(value));
  return fc.tuple(parameters, body).map(([given, json]) => {
    const escaped = (value: unknown): string =>
      encodeURIComponent(text(value).replaceAll(/\p{Surrogate}/gu, '\ufffd'));
    const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      escaped((given as Record<string, unknown>)[name]),
    );
    const query = operation.parameters
      .filter((parameter) => parameter.in === 'query' && parameter.name in given)
      .map(({ name }) => `${name}=${escaped((given as Record<string, unknown>)[name])}`);
    return { url: `${path}${query.length > 0 ? `?${query.join('&')}` : ''}`, body: json };
  });
}

/** Traces of our own code or of the stores in an answer. */
const LEAK = /\bat \/|node_modules|\.ts:\d|SELECT |INSERT |postgres:\/\/|redis:\/\/|stack/;

/** @returns what is wrong with the answer; undefined: nothing */
async function wrongWith(
  method: string,
  url: string,
  body: string | undefined,
): Promise<string | undefined> {
  const abort = new AbortController();
  const timer = setTimeout(() => {
    abort.abort();
  }, ANSWER_MS);
  const shown = `${method} ${url.slice(0, 300)} ${body?.slice(0, 500) ?? ''}`;
  try {
    const response = await fetch(app.url + url, {
      method,
      signal: abort.signal,
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
    // 504: a wait for a run that never ends. 507 and 503 would be the stores', and nothing is wrong with them.
    if (response.status >= 500 && response.status !== 504)
      return `${response.status} ${(await response.text()).slice(0, 300)}: ${shown}`;
    if (response.status < 400) {
      await response.body?.cancel();
      return undefined;
    }
    const answer = await response.text();
    return LEAK.test(answer) && !LEAK.test(`${url}${body ?? ''}`)
      ? `tells too much: ${answer.slice(0, 300)}: ${shown}`
      : undefined;
  } catch (error) {
    return `${abort.signal.aborted ? `no answer in ${ANSWER_MS} ms` : String(error)}: ${shown}`;
  } finally {
    clearTimeout(timer);
  }
}

test('no request of any operation is answered with a 5xx, hangs, tells of the inside, or does harm', async () => {
  const wrong: string[] = [];
  let asked = 0;
  for (const [i, operation] of operations.entries()) {
    const requests = fc.sample(requestsOf(operation), { numRuns: REQUESTS, seed: SEED + i });
    for (const found of await Promise.all(
      requests.map(({ url, body }) =>
        wrongWith(operation.method, url, operation.method === 'GET' ? undefined : body),
      ),
    )) {
      asked++;
      if (found !== undefined) wrong.push(found);
    }
    // Deleted by one of them, perhaps.
    await app.call('POST', '/threads', { thread_id: ids['thread_id'], if_exists: 'do_nothing' });
  }
  expect({ seed: SEED, wrong }).toEqual({ seed: SEED, wrong: [] });
  expect(asked).toBeGreaterThan(500);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  expect((await app.call('GET', '/ok?check_db=1')).status).toBe(200);
  const { rows } = await app.core.pool.query<{ n: number }>(
    `SELECT count(*) AS n FROM information_schema.tables WHERE table_name IN ('runs', 'threads', 'events')`,
  );
  expect(rows[0]?.n).toBe(3);
}, 240_000);
