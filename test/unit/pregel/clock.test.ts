import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../../src/pregel/clock.ts';

test('a limit that is longer than Node can count does not fire at once', async () => {
  let fired = 0;
  const cancels = [2 ** 31, Number.MAX_SAFE_INTEGER, Infinity].map((ms) =>
    systemClock.timer(ms, () => fired++),
  );
  // Node would have made 1 ms of it: due before this one.
  await delay(10);
  for (const cancel of cancels) cancel();
  expect(fired).toBe(0);
});
