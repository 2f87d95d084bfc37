import { encodeFrames, EVERYTHING, viewOf } from '../../../src/server/frames.ts';

const event = (type: string): { type: string; data: string } => ({ type, data: '{}' });
const text = (frames: readonly Buffer[]): string => Buffer.concat(frames).toString();

test('clients with the same view share the same bytes, others have their own', () => {
  const events = [event('metadata'), event('values')];
  const numbering = { n: 4, attempt: 2 };
  const first = encodeFrames(events, numbering, EVERYTHING);
  expect(encodeFrames(events, { ...numbering }, viewOf(undefined))).toBe(first);
  expect(encodeFrames(events, { n: 5, attempt: 2 }, EVERYTHING)).not.toBe(first);
  expect(encodeFrames([...events], numbering, EVERYTHING)).not.toBe(first);
  const values = encodeFrames(events, numbering, viewOf(['values', 'updates']));
  expect(encodeFrames(events, numbering, viewOf(['updates', 'values']))).toBe(values);
});

test('a filtered view keeps the numbers of the whole', () => {
  const events = ['metadata', 'updates', 'values|sub:1', 'values', 'messages', 'error'].map(event);
  const numbering = { n: 0, attempt: 1 };
  const ids = (modes: string[]): string[] =>
    [...text(encodeFrames(events, numbering, viewOf(modes))).matchAll(/^id: (.*)$/gm)].map(
      (match) => match[1] ?? '',
    );
  expect(ids(['values'])).toEqual(['0', '2', '3', '5']);
  expect(ids(['messages-tuple'])).toEqual(['0', '4', '5']);
  expect(ids(['messages'])).toEqual(['0', '5']);
  expect(ids([])).toEqual(['0', '5']);
});

test('messages of mode messages are told from tuples', () => {
  const events = ['messages/partial', 'messages/complete|sub', 'messages|sub'].map(event);
  const take = (mode: string): string =>
    text(encodeFrames(events, { n: 0, attempt: 1 }, viewOf([mode])));
  expect(take('messages').match(/^id/gm)).toHaveLength(2);
  expect(take('messages-tuple').match(/^id/gm)).toHaveLength(1);
});

test('a large batch is several buffers with whole frames', () => {
  const events = Array.from({ length: 10 }, () => ({
    type: 'custom',
    data: `"${'x'.repeat(100_000)}"`,
  }));
  const frames = encodeFrames(events, { n: 0, attempt: 1 }, EVERYTHING);
  expect(frames.length).toBeGreaterThan(2);
  for (const frame of frames) {
    expect(frame.subarray(0, 7).toString()).toBe('event: ');
    expect(frame.subarray(-2).toString()).toBe('\n\n');
  }
  expect(text(frames).match(/^id: \d$/gm)).toHaveLength(10);
});
