/** An actor that writes to the channel it subscribes to, until it writes null (seed 004, "Cycle"). */
import { z } from 'zod';
import { Channel, EphemeralValue, Pregel } from '../../src/pregel/index.ts';

const exampleNode = Channel.subscribeTo<string>('value')
  .pipe((x) => (x.length < 10 ? x + x : null))
  .pipe(Channel.write([{ channel: 'value', skipNull: true }]));

export const graph = new Pregel<{ value: string }, { value: string }>({
  name: 'cycle',
  nodes: { example_node: exampleNode },
  channels: { value: new EphemeralValue(z.string()) },
  inputChannels: ['value'],
  outputChannels: ['value'],
});

export const input = { value: 'a' };
export const output = { value: 'aaaaaaaaaaaaaaaa' };
