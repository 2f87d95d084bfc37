import { formatEventId, parseEventId } from '../../../src/server/event-id.ts';

test.each([
  [0, 1, '0'],
  [17, 1, '17'],
  [0, 2, '0-2'],
  [123_456_789, 12, '123456789-12'],
])('event %d of attempt %d is %s, both ways', (n, attempt, text) => {
  expect(formatEventId(n, attempt)).toBe(text);
  expect(parseEventId(text)).toEqual({ n, attempt });
});

test.each(['-1', '-1-2'])('%s is the start', (text) => {
  expect(parseEventId(text)).toBeNull();
});

test.each(['', ' 1', '1 ', '01', '1-', '1-1', '1-0', '1-02', '-2', '1e3', '0x1', '１'])(
  '%j is no id',
  (text) => {
    expect(parseEventId(text)).toBeUndefined();
  },
);
