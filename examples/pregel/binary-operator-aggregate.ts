/** A reducer on a channel (seed 004, "BinaryOperatorAggregate"). */
import { z } from 'zod';
import {
  BinaryOperatorAggregate,
  Channel,
  EphemeralValue,
  Pregel,
} from '../../src/pregel/index.ts';

const node1 = Channel.subscribeTo<string>('a')
  .pipe((x) => x + x)
  .pipe({ b: Channel.writeTo('b'), c: Channel.writeTo('c') });

const node2 = Channel.subscribeTo<string>('b')
  .pipe((x) => x + x)
  .pipe({ c: Channel.writeTo('c') });

// As in the seed, which joins the word "update" and not the update.
const reducer = (current: string, update: string): string =>
  current === '' ? update : `${current} | update`;

export const graph = new Pregel<{ a: string }, { c: string }>({
  name: 'binary_operator_aggregate',
  nodes: { node1, node2 },
  channels: {
    a: new EphemeralValue(z.string()),
    b: new EphemeralValue(z.string()),
    c: new BinaryOperatorAggregate(z.string(), reducer),
  },
  inputChannels: ['a'],
  outputChannels: ['c'],
});

export const input = { a: 'foo' };
/** The seed shows no output for this one; this is what its code gives. */
export const output = { c: 'foofoo | update' };
