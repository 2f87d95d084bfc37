/** `millrace dev` in a user's project: how its modules are read, what a change does, what a mistake says. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/lib/free-port.ts';
import { createEmptyDatabase } from '../support/postgres.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { startMillrace } from '../support/processes.ts';
import type { TestProcess } from '../support/processes.ts';
import { createTempFolder, removeTempFolder } from '../support/reaper.ts';
import { waitUntil } from '../support/wait-until.ts';

const MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url));

const graphOf = (answer: string): string => `
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
const State = Annotation.Root({ said: Annotation<string> });
export const graph = new StateGraph(State)
  .addNode('say', (): { said: string } => ({ said: '${answer}' }))
  .addEdge(START, 'say').addEdge('say', END).compile();
`;

let database: TestDatabase;
let folder: string;
let port: number;
let started: TestProcess | undefined;
beforeEach(async () => {
  database = await createEmptyDatabase();
  folder = createTempFolder('project');
  port = await freePort();
  symlinkSync(MODULES, join(folder, 'node_modules'));
  writeFileSync(join(folder, 'langgraph.json'), '{"graphs":{"agent":"./src/agent.ts:graph"}}');
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'src/agent.ts'), graphOf('first'));
});
afterEach(async () => {
  await started?.stop();
  started = undefined;
  removeTempFolder(folder);
  await database.drop();
});

async function dev(env: Record<string, string> = {}): Promise<TestProcess> {
  const url = `http://127.0.0.1:${port}`;
  started = await startMillrace(['dev'], {
    cwd: folder,
    env: { DATABASE_URL: database.url, PORT: String(port), ...env },
    readyUrl: `${url}/ok`,
  });
  return started;
}

async function wait(graphId = 'agent'): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${port}/runs/wait`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id: graphId, input: {} }),
  });
  return await answer.json();
}

test.each([
  ['an ESM package', '{"type":"module"}'],
  ['a package that is CommonJS', '{"name":"project"}'],
  ['a folder without package.json', undefined],
])('a TypeScript graph of %s is read', async (_, packageJson) => {
  if (packageJson !== undefined) writeFileSync(join(folder, 'package.json'), packageJson);
  await dev();
  expect(await wait()).toEqual({ said: 'first' });
});

test('a changed file is in force a moment later', async () => {
  const millrace = await dev();
  expect(await wait()).toEqual({ said: 'first' });
  // Whole at once: a file that is being written would be a change of its own.
  const elsewhere = createTempFolder('change');
  writeFileSync(join(elsewhere, 'agent.ts'), graphOf('second'));
  renameSync(join(elsewhere, 'agent.ts'), join(folder, 'src/agent.ts'));
  removeTempFolder(elsewhere);
  await millrace.waitForOutput(/changed, starting again[\s\S]*ready/);
  await waitUntil(async () => (await fetch(`http://127.0.0.1:${port}/ok`)).ok, {
    timeoutMs: 20_000,
  });
  expect(await wait()).toEqual({ said: 'second' });
});

test('a graph that cannot be loaded is told at the start, and by its runs; the others are executed', async () => {
  writeFileSync(
    join(folder, 'langgraph.json'),
    '{"graphs":{"broken":"./src/agent.ts:missing","agent":"./src/agent.ts:graph"}}',
  );
  const millrace = await dev();
  expect(await wait()).toEqual({ said: 'first' });
  expect(await wait('broken')).toMatchObject({ __error__: { error: 'GraphInvalidError' } });
  expect(millrace.output()).toMatch(
    /graph cannot be loaded graph_id=broken[\s\S]*has no export "missing"[\s\S]*graph loaded graph_id=agent[\s\S]*ready/,
  );
});

test('a port that is taken is named', async () => {
  await dev();
  const second = await startMillrace(['serve'], {
    cwd: folder,
    env: { DATABASE_URL: database.url, PORT: String(port) },
  });
  expect(await second.waitForEnd()).toBe(1);
  expect(second.output()).toContain(
    `millrace: HOST, PORT: expected an address that is free, found 127.0.0.1 and ${port}: listen EADDRINUSE`,
  );
});
