/** The embeddings function of a project, in both forms. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadEmbedder } from '../../../src/graphs/embedder.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-embedder-'));
const file = join(folder, 'embed.mjs');
writeFileSync(
  file,
  `export const lengths = (texts) => texts.map((text) => [text.length]);
   export const embeddings = {
     embedDocuments: async (texts) => texts.map(() => [1]),
     embedQuery: async () => [2],
   };
   export const number = 3;`,
);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const load = (exportName: string): ReturnType<typeof loadEmbedder> =>
  loadEmbedder({ file, exportName, origin: 'langgraph.json: store.index.embed' });

test('a function of a list of texts', async () => {
  const { documents, query } = await load('lengths');
  expect(await documents(['a', 'bcd'])).toEqual([[1], [3]]);
  expect(await query('ab')).toEqual([2]);
});

test('an object like the Embeddings of LangChain', async () => {
  const { documents, query } = await load('embeddings');
  expect(await documents(['a', 'b'])).toEqual([[1], [1]]);
  expect(await query('a')).toEqual([2]);
});

test('anything else is refused by name', async () => {
  await expect(load('number')).rejects.toThrow(
    'langgraph.json: store.index.embed: expected a function of a list of texts',
  );
});
