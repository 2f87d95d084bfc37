/** Where channel values go: inside the checkpoint, into rows of their own, or nowhere because they are stored. */
import { ChannelValues } from '../../../src/checkpoints/values.ts';
import type { PlacedValues } from '../../../src/checkpoints/values.ts';
import type { StoredCheckpoint } from '../../../src/checkpoints/checkpoint.ts';

const SMALL = '"small"';
const LARGE = JSON.stringify('x'.repeat(500));

interface Put {
  readonly versions: Record<string, number>;
  readonly values: Record<string, string>;
  readonly changed?: string[];
  readonly parentId?: string;
}
/** Puts the values, given as the JSON they have, and tells what was placed and which had to be encoded. */
function put(
  known: ChannelValues,
  { versions, values, changed = Object.keys(values), parentId }: Put,
): PlacedValues & { encoded: readonly string[] } {
  const placement = known.plan(
    { ns: '', parentId, head: { channel_versions: versions } },
    values,
    Object.fromEntries(changed.map((channel) => [channel, 1])),
  );
  const encoded = new Map(
    placement.unknown.map((channel) => [channel, { type: 'json', data: values[channel] ?? '' }]),
  );
  return { ...placement.place(encoded), encoded: placement.unknown };
}

const stored = (given: Partial<StoredCheckpoint>): StoredCheckpoint => ({
  threadId: 't',
  ns: '',
  id: 'c1',
  parentId: null,
  runId: null,
  head: { v: 4, ts: '', channel_versions: { a: 1, b: 1 }, versions_seen: {} },
  metadata: {},
  blobs: [],
  inline: {},
  writes: [],
  ...given,
});

test('a small value is in every checkpoint and encoded once, a large one is in one row', () => {
  const known = new ChannelValues();
  const values = { a: SMALL, b: LARGE };
  expect(put(known, { versions: { a: 1, b: 1 }, values })).toEqual({
    encoded: ['a', 'b'],
    inline: { a: ['json', SMALL] },
    blobs: [{ channel: 'b', version: 1, type: 'json', data: LARGE }],
  });
  const next = { versions: { a: 1, b: 1 }, values, changed: [], parentId: 'c1' };
  expect(put(known, next)).toEqual({ encoded: [], inline: { a: ['json', SMALL] }, blobs: [] });
});

test('what was read counts as stored, where it was stored', () => {
  const known = new ChannelValues();
  known.seen(stored({ blobs: [['b', 'json', LARGE]], inline: { a: ['json', SMALL] } }));
  const same = { versions: { a: 1, b: 1 }, values: { a: SMALL, b: LARGE }, changed: [] };
  expect(put(known, { ...same, parentId: 'c1' })).toEqual({
    encoded: [],
    inline: { a: ['json', SMALL] },
    blobs: [],
  });
});

test('an unchanged value that nobody has seen is stored anew: its checkpoint may not be the one it was in', () => {
  const known = new ChannelValues();
  known.seen(stored({ inline: { a: ['json', SMALL] } }));
  // A fork from an earlier checkpoint, where `a` had another version.
  const fork = { versions: { a: 0.5, b: 1 }, values: { a: '"other"', b: LARGE }, changed: [] };
  expect(put(known, { ...fork, parentId: 'c0' })).toEqual({
    encoded: ['a', 'b'],
    inline: { a: ['json', '"other"'] },
    blobs: [{ channel: 'b', version: 1, type: 'json', data: LARGE }],
  });
});

test('a value that no longer fits among the small ones gets a row and keeps it', () => {
  const known = new ChannelValues();
  const names = Array.from({ length: 12 }, (_, i) => `channel${i}`);
  const versions = Object.fromEntries(names.map((name) => [name, 1]));
  const values = Object.fromEntries(names.map((name) => [name, JSON.stringify('y'.repeat(80))]));
  const first = put(known, { versions, values });
  const rows = first.blobs.map(({ channel }) => channel);
  expect(rows.length).toBeGreaterThan(0);
  expect([...Object.keys(first.inline), ...rows].sort()).toEqual([...names].sort());
  // One grows within its limits: another has to leave, with its data.
  const grown = { ...values, channel0: JSON.stringify('y'.repeat(200)) };
  const second = put(known, {
    versions: { ...versions, channel0: 2 },
    values: grown,
    changed: ['channel0'],
    parentId: 'c1',
  });
  const third = put(known, {
    versions: { ...versions, channel0: 2 },
    values: grown,
    changed: [],
    parentId: 'c2',
  });
  const everywhere = new Set([
    ...rows,
    ...second.blobs.map(({ channel }) => channel),
    ...Object.keys(third.inline),
  ]);
  expect([...everywhere].sort()).toEqual([...names].sort());
  expect(third.blobs).toEqual([]);
});

test('a channel without a value is nowhere', () => {
  const known = new ChannelValues();
  expect(put(known, { versions: { a: 1, gone: 2 }, values: { a: SMALL } })).toEqual({
    encoded: ['a'],
    inline: { a: ['json', SMALL] },
    blobs: [],
  });
});
