/** One actor between two channels (seed 004, "Single node"). */
import { z } from 'zod';
import { Channel, EphemeralValue, Pregel } from '../../src/pregel/index.ts';

const node1 = Channel.subscribeTo<string>('a')
  .pipe((x) => x + x)
  .pipe(Channel.writeTo('b'));

export const graph = new Pregel<{ a: string }, { b: string }>({
  name: 'single_node',
  nodes: { node1 },
  channels: {
    a: new EphemeralValue(z.string()),
    b: new EphemeralValue(z.string()),
  },
  inputChannels: ['a'],
  outputChannels: ['b'],
});

export const input = { a: 'foo' };
export const output = { b: 'foofoo' };
