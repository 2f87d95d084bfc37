/** Documents that are refused, each with the node named; and those that are not. */
import { readdirSync } from 'node:fs';
import { parseDocument } from '../../../src/workflows/validate.ts';
import { inOrder } from '../../../src/workflows/validate.ts';
import { ai, chain, example } from '../../support/workflows.ts';

type Json = Record<string, unknown>;
const node = (id: string, type: string, config: Json = {}): Json => ({ id, type, config });
const transformer = (id: string, output: unknown, more: Json = {}): Json =>
  node(id, 'transformer', { output, ...more });

const problemOf = (document: unknown): string => {
  try {
    parseDocument(document);
  } catch (error) {
    return (error as Error).message;
  }
  return '';
};

test.each(readdirSync(new URL('../../../examples/workflows', import.meta.url)))(
  'the example %s is one',
  (name) => {
    expect(problemOf(example(name))).toBe('');
  },
);

test('a cycle is told with its nodes in order', () => {
  const document = chain([transformer('a', 1), transformer('b', 2), transformer('c', 3)]);
  (document['edges'] as Json[]).push({ from: 'c', to: 'a' });
  expect(problemOf(document)).toMatch(
    /^node "\w": it is on a cycle: (a → b → c → a|b → c → a → b|c → a → b → c)$/,
  );
});

test('an edge to itself is a cycle', () => {
  const document = chain([transformer('a', 1)]);
  (document['edges'] as Json[]).push({ from: 'a', to: 'a' });
  expect(problemOf(document)).toBe('node "a": it is on a cycle: a → a');
});

const cases: [string, unknown, string][] = [
  ['no document', 'x', 'document: '],
  ['no nodes', { name: 'x', nodes: [], edges: [] }, 'nodes: '],
  ['an unknown type', chain([node('a', 'magic')]), 'node "a": type: '],
  [
    'an unknown field',
    chain([ai('a', 'hi', [], { api_key: 'sk' })]),
    'node "a": config: Unrecognized key: "api_key"',
  ],
  ['a missing field', chain([node('a', 'webhook')]), 'node "a": config.url: '],
  [
    'an unknown source',
    chain([node('a', 'data-source', { source: 'ftp' })]),
    'node "a": config.source: ',
  ],
  [
    'an id twice',
    chain([transformer('a', 1), transformer('a', 1)]),
    'node "a": there are two nodes',
  ],
  ['a reserved id', chain([transformer('outputs', 1)]), 'node "outputs": the id is reserved'],
  [
    'two starts',
    chain([], {}, [node('again', 'start')]),
    'node "again": a second node of type "start"',
  ],
  ['no end', { name: 'x', nodes: [node('s', 'start')], edges: [] }, 'no node of type "end"'],
  [
    'an edge from nowhere',
    {
      ...chain([]),
      edges: [
        { from: 'start', to: 'end' },
        { from: 'ghost', to: 'end' },
      ],
    },
    'edge "ghost" → "end": there is no node "ghost"',
  ],
  [
    'an edge to nowhere',
    { ...chain([]), edges: [{ from: 'start', to: 'ghost' }] },
    'there is no node "ghost"',
  ],
  [
    'something after the end',
    {
      ...chain([transformer('a', 1)]),
      edges: [
        { from: 'start', to: 'end' },
        { from: 'end', to: 'a' },
      ],
    },
    'node "end" is of type "end"',
  ],
  ['an island', chain([], {}, [transformer('island', 1)]), 'node "island": no edge leads to it'],
  [
    'a missing variable',
    chain([ai('a', 'Hello {{name}}', [])]),
    'node "a": config.prompt: {{name}}: there is no variable "name"',
  ],
  [
    'a node that comes later',
    chain([transformer('a', '{{b}}'), transformer('b', 1)]),
    'node "a": config.output: {{b}}',
  ],
  [
    'braces that are no template',
    chain([transformer('a', 'x {{1 + 1}}')]),
    'node "a": config.output: {{1 + 1}} is no template',
  ],
  [
    'a call to nobody',
    chain([ai('a', "CALL: ask_node('ghost', 'hi')", [])]),
    'node "a": config.prompt: ask_node: there is no other AI node "ghost"',
  ],
  [
    'a call to itself',
    chain([ai('a', "CALL: ask_node('a', 'hi')", [])]),
    'node "a": config.prompt: ask_node',
  ],
  [
    'a broken call',
    chain([ai('a', "CALL: ask_node('b)", [])]),
    'node "a": config.prompt: CALL: expected ask_node',
  ],
  [
    'a secret in a header',
    chain([
      node('a', 'webhook', { url: 'https://x.org', headers: { Authorization: 'Bearer sk-1' } }),
    ]),
    'node "a": config.headers.Authorization: a secret comes from the environment',
  ],
  [
    'a secret in a body',
    chain([node('a', 'webhook', { url: 'https://x.org', body: '{{secret.KEY}}' })]),
    'node "a": config.body: {{secret.KEY}}: secrets are for headers only',
  ],
  [
    'a template in SQL',
    chain(
      [node('a', 'data-source', { source: 'postgres', connection: 'DB', query: "select '{{x}}'" })],
      { variables: ['x'] },
    ),
    'node "a": config.query: no templates',
  ],
  [
    'a system prompt that needs an output',
    chain([transformer('t', 1), ai('a', 'x', [], { system_prompt: '{{t}}' })]),
    'node "a": config.system_prompt: {{t}}',
  ],
  [
    'a label where none is',
    { ...chain([]), edges: [{ from: 'start', to: 'end', label: 'x' }] },
    'only edges that leave a condition',
  ],
  [
    'a condition without labels',
    chain([
      node('c', 'condition', { cases: [{ label: 'yes', left: 1, operator: 'eq', right: 1 }] }),
    ]),
    'node "c" is a condition: expected a label, one of yes, default',
  ],
  [
    'an unknown mode',
    chain([], { metadata: { communication_mode: 'pigeon' } }),
    'metadata.communication_mode: ',
  ],
  [
    'a delay without bound',
    chain([node('a', 'delay', { seconds: 1e9 })]),
    'node "a": config.seconds: ',
  ],
];
test.each(cases)('refused: %s', (_, document, problem) => {
  expect(problemOf(document)).toContain(problem);
});

test('several problems are told at once', () => {
  const problem = problemOf(chain([ai('a', '{{x}}', []), ai('b', '{{y}}', [])]));
  expect(problem.split('\n')).toHaveLength(2);
});

test('an AI node without edges is only asked, and needs none', () => {
  expect(problemOf(chain([], {}, [ai('oracle', 'x', [])]))).toBe('');
});

test('nodes are in an order in which each comes after all before it', () => {
  const document = parseDocument(chain([transformer('a', 1), transformer('b', '{{a}}')]));
  expect(inOrder(document).map(({ id }) => id)).toEqual(['start', 'a', 'b', 'end']);
});
