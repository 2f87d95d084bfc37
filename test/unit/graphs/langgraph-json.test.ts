import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLangGraphJson } from '../../../src/graphs/langgraph-json.ts';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'millrace-json-'))));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(content: unknown): string {
  const path = join(folder, 'langgraph.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

test('graphs are read in both forms, beside keys we do not know', () => {
  const path = file({
    node_version: '20',
    dependencies: ['.'],
    whatever: { x: 1 },
    graphs: { a: './src/a.ts:graph', b: { path: './b.mjs', description: 'B', x: 1 } },
    env: { KEY: 'value' },
  });
  expect(readLangGraphJson(path)).toEqual({
    graphs: [
      {
        graphId: 'a',
        file: join(folder, 'src/a.ts'),
        exportName: 'graph',
        origin: `${path}: graphs.a`,
      },
      {
        graphId: 'b',
        file: join(folder, 'b.mjs'),
        exportName: 'default',
        description: 'B',
        origin: `${path}: graphs.b`,
      },
    ],
    store: { ttl: {} },
    http: { disabled: [] },
    env: { KEY: 'value' },
  });
});

test('the store: how long items live, and which function makes vectors', () => {
  const read = (store: object): unknown => readLangGraphJson(file({ graphs: {}, store })).store;
  expect(
    read({ ttl: { default_ttl: 5, refresh_on_read: false, sweep_interval_minutes: 1 } }),
  ).toEqual({
    ttl: { defaultMinutes: 5, refreshOnRead: false },
  });
  expect(read({ index: { embed: './e.ts:embed', dims: 3 } })).toMatchObject({
    index: { dims: 3, fields: ['$'], embed: { file: join(folder, 'e.ts'), exportName: 'embed' } },
  });
  expect(read({ index: { embed: 'openai:text-embedding-3-small', dims: 3 } })).toMatchObject({
    index: { embed: expect.stringContaining('found "openai:text-embedding-3-small"') as string },
  });
});

test('an env file is read from beside it', () => {
  writeFileSync(join(folder, '.env'), 'A=1\n# no\nB="two words"\n');
  expect(readLangGraphJson(file({ graphs: {}, env: '.env' })).env).toEqual({
    A: '1',
    B: 'two words',
  });
});

test.each([
  ['not json', 'is not valid JSON'],
  [{}, 'graphs: '],
  [{ graphs: [] }, 'graphs: '],
  [{ graphs: { a: 1 } }, 'graphs.a: expected "./path/to/file.ts:exportName"'],
  [{ graphs: { a: './a.ts:x:y' } }, 'graphs.a: expected'],
  [{ graphs: {}, env: 3 }, 'env: expected the path of an env file or an object of strings'],
  [{ graphs: {}, env: './none' }, 'env: '],
])('%j is refused, naming file and key', (content, text) => {
  const path = file(content);
  expect(() => readLangGraphJson(path)).toThrow(
    expect.objectContaining({
      code: 'graph_invalid',
      message: expect.stringContaining(`${path}: ${text}`) as string,
    }) as Error,
  );
});

test('a file that is not there is named', () => {
  expect(() => readLangGraphJson(join(folder, 'none.json'))).toThrow(
    `${join(folder, 'none.json')}: cannot be read`,
  );
});
