/** Two actors, one after the other (seed 004, "Multiple nodes"). */
import { z } from 'zod';
import { Channel, EphemeralValue, LastValue, Pregel } from '../../src/pregel/index.ts';

const node1 = Channel.subscribeTo<string>('a')
  .pipe((x) => x + x)
  .pipe(Channel.writeTo('b'));

const node2 = Channel.subscribeTo<string>('b')
  .pipe((x) => x + x)
  .pipe(Channel.writeTo('c'));

export const graph = new Pregel<{ a: string }, { b: string; c: string }>({
  name: 'multiple_nodes',
  nodes: { node1, node2 },
  channels: {
    a: new EphemeralValue(z.string()),
    b: new LastValue(z.string()),
    c: new EphemeralValue(z.string()),
  },
  inputChannels: ['a'],
  outputChannels: ['b', 'c'],
});

export const input = { a: 'foo' };
export const output = { b: 'foofoo', c: 'foofoofoofoo' };
