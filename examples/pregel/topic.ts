/** Two actors write to one accumulating topic (seed 004, "Topic"). */
import { z } from 'zod';
import { Channel, EphemeralValue, Pregel, Topic } from '../../src/pregel/index.ts';

const node1 = Channel.subscribeTo<string>('a')
  .pipe((x) => x + x)
  .pipe({ b: Channel.writeTo('b'), c: Channel.writeTo('c') });

const node2 = Channel.subscribeTo<string>('b')
  .pipe((x) => x + x)
  .pipe({ c: Channel.writeTo('c') });

export const graph = new Pregel<{ a: string }, { c: string[] }>({
  name: 'topic',
  nodes: { node1, node2 },
  channels: {
    a: new EphemeralValue(z.string()),
    b: new EphemeralValue(z.string()),
    c: new Topic(z.string(), { accumulate: true }),
  },
  inputChannels: ['a'],
  outputChannels: ['c'],
});

export const input = { a: 'foo' };
export const output = { c: ['foofoo', 'foofoofoofoo'] };
