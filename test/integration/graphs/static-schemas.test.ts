/**
 * Schemas from a graph's source, through the parser that a project has. Its place is taken by a small package with the
 * same entry: the real one brings TypeScript and a second server along (docs/http-contract.md says how it was tried).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { z } from 'zod';
import type { GraphDependencies } from '../../../src/graphs/adapter.ts';
import { langGraphAdapter } from '../../../src/graphs/langgraph/adapter.ts';
import type { Graph } from '../../../src/graphs/port.ts';
import { createTempFolder, removeTempFolder } from '../../support/reaper.ts';

const State = Annotation.Root({ n: Annotation<number>() });
const inner = new StateGraph(State).addNode('x', () => ({ n: 1 })).addEdge(START, 'x');
const outer = new StateGraph(State).addNode('sub', inner.compile()).addEdge(START, 'sub').compile();
const typed = new StateGraph(z.object({ name: z.string() }))
  .addNode('x', () => ({}))
  .addEdge(START, 'x')
  .compile();

const PARSER = `
import { appendFileSync } from 'node:fs';
export async function getStaticGraphSchema({ sourceFile, exportSymbol }) {
  appendFileSync(new URL('./calls', import.meta.url), exportSymbol + '\\n');
  if (exportSymbol === 'broken') throw new Error('cannot be parsed');
  if (exportSymbol === 'slow') await new Promise((resolve) => setTimeout(resolve, 60_000));
  const of = (title) => ({ state: { title }, input: { title }, output: { title } });
  return { graph: of('whole'), 'graph|sub': of('part') };
}`;

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) removeTempFolder(folder);
});

/** A project's folder, with the parser or without. */
function project(withParser: boolean): { file: string; calls(): string[] } {
  const folder = createTempFolder('schemas');
  folders.push(folder);
  writeFileSync(join(folder, 'graph.ts'), '');
  const home = join(folder, 'node_modules/@langchain/langgraph-api');
  if (withParser) {
    mkdirSync(home, { recursive: true });
    const exports = { './schema': { default: './schema.mjs' } };
    writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'parser', exports }));
    writeFileSync(join(home, 'schema.mjs'), PARSER);
  }
  return {
    file: join(folder, 'graph.ts'),
    calls: () => readFileSync(join(home, 'calls'), 'utf8').trim().split('\n'),
  };
}

const troubles: string[] = [];
const wrap = async (
  value: unknown,
  file: string,
  exportName = 'graph',
  timeoutMs = 20_000,
): Promise<Graph> =>
  langGraphAdapter.wrap(
    'test',
    value,
    {
      schemas: {
        timeoutMs,
        onTrouble: (what: string, error: unknown) => troubles.push(`${what}: ${String(error)}`),
      },
    } as unknown as GraphDependencies,
    { file, exportName },
  );
const CONFIG = { configurable: {}, metadata: {} };

test('annotations: from the source, once for the graph and its subgraphs, within the limit', async () => {
  const { file, calls } = project(true);
  const graph = await wrap(outer, file);
  expect(await graph.schemas(CONFIG)).toMatchObject({
    graph_id: 'test',
    state_schema: { title: 'whole' },
    config_schema: { type: 'object' },
  });
  expect(await graph.subgraphs(CONFIG, undefined, true)).toMatchObject({
    sub: { state: { title: 'part' } },
  });
  await (await wrap(outer, file)).schemas(CONFIG);
  expect(calls()).toEqual(['graph']);
});

test('what is known at run time is not looked for in the source', async () => {
  const { file, calls } = project(true);
  const graph = await wrap(typed, file);
  expect(await graph.schemas(CONFIG)).toMatchObject({
    state_schema: { properties: { name: { type: 'string' } } },
  });
  expect(calls).toThrow();
});

test('without the parser, and when it fails, the channels are named; a failure is reported once', async () => {
  const names = { state_schema: { properties: { n: {} } } };
  expect(await (await wrap(outer, project(false).file)).schemas(CONFIG)).toMatchObject(names);
  const { file, calls } = project(true);
  const graph = await wrap(outer, file, 'broken');
  expect(await graph.schemas(CONFIG)).toMatchObject(names);
  expect(await graph.schemas(CONFIG)).toMatchObject(names);
  expect(calls()).toEqual(['broken']);
  expect(troubles).toEqual(['read schemas of a graph from its source: Error: cannot be parsed']);
  await (await wrap(outer, file, 'slow', 1_000)).schemas(CONFIG);
  expect(troubles[1]).toContain('SIGKILL');
});
