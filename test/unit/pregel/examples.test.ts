/** The seed's examples give the outputs the seed shows. */
import * as binaryOperatorAggregate from '../../../examples/pregel/binary-operator-aggregate.ts';
import * as cycle from '../../../examples/pregel/cycle.ts';
import * as entrypoint from '../../../examples/pregel/entrypoint.ts';
import * as multipleNodes from '../../../examples/pregel/multiple-nodes.ts';
import * as singleNode from '../../../examples/pregel/single-node.ts';
import * as stateGraph from '../../../examples/pregel/state-graph.ts';
import * as topic from '../../../examples/pregel/topic.ts';

test('single node', async () => {
  expect(await singleNode.graph.invoke({ a: 'foo' })).toEqual({ b: 'foofoo' });
});

test('multiple nodes', async () => {
  expect(await multipleNodes.graph.invoke({ a: 'foo' })).toEqual({
    b: 'foofoo',
    c: 'foofoofoofoo',
  });
});

test('topic', async () => {
  expect(await topic.graph.invoke({ a: 'foo' })).toEqual({ c: ['foofoo', 'foofoofoofoo'] });
});

test('binary operator aggregate', async () => {
  expect(await binaryOperatorAggregate.graph.invoke({ a: 'foo' })).toEqual({
    c: 'foofoo | update',
  });
});

test('cycle', async () => {
  expect(await cycle.graph.invoke({ value: 'a' })).toEqual({ value: 'aaaaaaaaaaaaaaaa' });
});

test('state graph: output, nodes and channels', async () => {
  const { graph } = stateGraph;
  expect(await graph.invoke({ topic: 'mills' })).toEqual(stateGraph.output);
  expect(Object.keys(graph.nodes)).toEqual(['__start__', 'write_essay', 'score_essay']);
  expect(Object.entries(graph.channels).map(([name, { kind }]) => [name, kind])).toEqual([
    ['topic', 'LastValue'],
    ['content', 'LastValue'],
    ['score', 'LastValue'],
    ['__start__', 'EphemeralValue'],
    ['branch:to:write_essay', 'EphemeralValue'],
    ['branch:to:score_essay', 'EphemeralValue'],
  ]);
});

test('entrypoint: output, nodes and channels', async () => {
  const { graph } = entrypoint;
  expect(await graph.invoke({ topic: 'mills' })).toEqual(entrypoint.output);
  expect(Object.keys(graph.nodes)).toEqual(['write_essay']);
  expect(Object.entries(graph.channels).map(([name, { kind }]) => [name, kind])).toEqual([
    ['__start__', 'EphemeralValue'],
    ['__end__', 'LastValue'],
    ['__previous__', 'LastValue'],
  ]);
});
