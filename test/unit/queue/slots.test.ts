/** Places that loops share. */
import { createSlots } from '../../../src/queue/slots.ts';

test('a place goes to who asked first, and what is given back is there again', async () => {
  const slots = createSlots(1);
  await slots.take();
  const got: string[] = [];
  const first = slots.take().then(() => got.push('first'));
  const second = slots.take().then(() => got.push('second'));
  expect(slots.tryTake()).toBe(false);
  slots.give();
  await first;
  expect(got).toEqual(['first']);
  slots.give();
  await second;
  slots.give();
  expect(slots.tryTake()).toBe(true);
  expect(slots.tryTake()).toBe(false);
});

test('opened, nobody waits', async () => {
  const slots = createSlots(0);
  const waits = slots.take();
  slots.open();
  await waits;
  await slots.take();
});
