/** Tags that lie as far apart as so many can, and stay when there are more of them. */
import { queueTags, QUEUE_TAGS_MAX, tagOfRun } from '../../../src/queue/tags.ts';
import { SLOT_COUNT, slotOf } from '../../../src/redis/slot.ts';

const slots = (prefix: string, count: number): number[] =>
  queueTags(prefix, count)
    .map((tag) => slotOf(tag.prefix.slice(1, -1)))
    .sort((a, b) => a - b);

test('the slot of a tag is what the specification of clusters gives as its example', () => {
  expect(slotOf('123456789')).toBe(0x31c3 % SLOT_COUNT);
});

test.each(['millrace', 'staging', 'x'])('tags of %s are evenly spread', (prefix) => {
  for (const count of [2, 4, 8, 64]) {
    const found = slots(prefix, count);
    const gaps = found.map((slot, i) => (found[i + 1] ?? (found[0] ?? 0) + SLOT_COUNT) - slot);
    expect(Math.max(...gaps)).toBeLessThan((SLOT_COUNT / count) * 1.3);
  }
});

test('of three masters with a third of the slots each, four tags reach all', () => {
  for (const prefix of ['millrace', 'staging', 'x', 'a_b'])
    expect(new Set(slots(prefix, 4).map((slot) => Math.floor((slot * 3) / SLOT_COUNT))).size).toBe(
      3,
    );
});

test('all are different, and the first stay when there are more; one alone has the name it always had', () => {
  const most = queueTags('millrace', QUEUE_TAGS_MAX);
  expect(new Set(most.map(({ prefix }) => prefix)).size).toBe(QUEUE_TAGS_MAX);
  expect(queueTags('millrace', 5)).toEqual(most.slice(0, 5));
  expect(queueTags('millrace', 1)).toEqual([{ name: 'runs', prefix: '{millrace:queue}' }]);
});

test('a run has one tag, by its last digits', () => {
  const id = '0198a0de-7c11-7000-8000-00000000000';
  expect([0, 1, 5, 'F'].map((digit) => tagOfRun(`${id}${digit}`, 4))).toEqual([0, 1, 1, 3]);
  expect(tagOfRun(`${id}7`, 1)).toBe(0);
});
