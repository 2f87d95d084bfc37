import assert from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import type { GraphConfig, GraphRegistry } from '../../../src/graphs/port.ts';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import { createDependencies } from '../../support/graphs.ts';

const CONFIG: GraphConfig = { configurable: {}, metadata: {} };
const noDatabase = {
  query: () => Promise.reject(new Error('no query is expected')),
} as unknown as Parameters<typeof createDependencies>[0];

function registryOf(graphs: Record<string, unknown>): GraphRegistry {
  return createGraphRegistry(createDependencies(noDatabase), { graphs });
}

const builder = (node: string): StateGraph<never> =>
  new StateGraph(Annotation.Root({ x: Annotation<string>() }))
    .addNode(node, () => ({ x: node }))
    .addEdge(START, node) as never;

const nodesOf = async (registry: GraphRegistry, id: string, config = CONFIG): Promise<string> => {
  const { nodes } = await (await registry.get(id)).draw(config, false);
  return (nodes as { id: string }[]).map((node) => node.id).join(' ');
};

test('a graph may be compiled, a builder, a promise, an agent object or a factory', async () => {
  const registry = registryOf({
    compiled: builder('n').compile(),
    builder: builder('n'),
    promise: Promise.resolve(builder('n')),
    agent: { graph: builder('n').compile() },
    factory: ({ configurable }: GraphConfig) => builder(String(configurable['node'])),
    asyncFactory: () => Promise.resolve(builder('n').compile()),
  });
  expect(registry.ids()).toEqual([
    'compiled',
    'builder',
    'promise',
    'agent',
    'factory',
    'asyncFactory',
  ]);
  for (const id of ['compiled', 'builder', 'promise', 'agent', 'asyncFactory'])
    expect(await nodesOf(registry, id)).toBe('__start__ n __end__');
  const config = { ...CONFIG, configurable: { node: 'by-config' } };
  expect(await nodesOf(registry, 'factory', config)).toBe('__start__ by-config __end__');
});

test.each<[unknown, string]>([
  [1, 'graph "g": expected a graph, a builder with compile()'],
  [{}, 'got an object of Object'],
  [null, 'got null'],
  [{ compile: () => assert.fail() }, 'graph "g": the graph does not compile'],
])('what is no graph is refused: %#', async (value, text) => {
  await expect(registryOf({ g: value }).get('g')).rejects.toMatchObject({
    code: 'graph_invalid',
    message: expect.stringContaining(text) as string,
  });
});

test('an unknown graph is not found, and the known ones are named', async () => {
  await expect(registryOf({ a: 1, b: 2 }).get('c')).rejects.toMatchObject({
    code: 'graph_not_found',
    message: 'Graph "c" not found; there are: a, b',
  });
});

describe('from langgraph.json', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-registry-'));
    writeFileSync(join(folder, 'broken.mjs'), 'export const a = ;');
    writeFileSync(
      join(folder, 'exports.mjs'),
      'export const a = 1; export const rejected = Promise.reject(new Error("no"));',
    );
    writeFileSync(
      join(folder, 'langgraph.json'),
      JSON.stringify({
        graphs: {
          absent: './absent.ts:graph',
          broken: './broken.mjs:a',
          noExport: './exports.mjs:graph',
          rejected: './exports.mjs:rejected',
          number: './exports.mjs:a',
        },
      }),
    );
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test.each([
    ['absent', 'there is no file'],
    ['broken', 'cannot be imported'],
    ['noExport', 'has no export "graph", only a, rejected'],
    ['rejected', 'the promise exported as "rejected" was rejected'],
    ['number', 'expected a graph'],
  ])('%s: the error names file, key and why', async (id, text) => {
    const file = join(folder, 'langgraph.json');
    const registry = createGraphRegistry(createDependencies(noDatabase), { file });
    expect(registry.has(id)).toBe(true);
    await expect(registry.get(id)).rejects.toMatchObject({
      code: 'graph_invalid',
      message: expect.stringMatching(`^${file}: graphs.${id}: .*${text}`) as string,
    });
  });
});
