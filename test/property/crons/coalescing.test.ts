/**
 * Whatever the schedule and whenever somebody looks: a look makes one run when a date has passed since the
 * look before, and none otherwise. The dates are found here by trying every minute.
 */
import fc from 'fast-check';
import { due, nextDate } from '../../../src/crons/schedule.ts';

const MINUTE = 60_000;
const START = Date.UTC(2026, 1, 27, 22, 0);

interface Fields {
  minute: number[];
  hour: number[];
}
const everyDay = fc.record<Fields>({
  minute: fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { minLength: 1, maxLength: 6 }),
  hour: fc.uniqueArray(fc.integer({ min: 0, max: 23 }), { minLength: 1, maxLength: 6 }),
});
/** Minutes between two looks: often short, sometimes days of downtime. */
const pauses = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 90 }), fc.integer({ min: 0, max: 4_000 })),
  {
    minLength: 1,
    maxLength: 30,
  },
);

const isDate = ({ minute, hour }: Fields, ms: number): boolean => {
  const date = new Date(ms);
  return minute.includes(date.getUTCMinutes()) && hour.includes(date.getUTCHours());
};

function datesBetween(fields: Fields, after: number, upTo: number): number[] {
  const dates: number[] = [];
  for (let ms = Math.floor(after / MINUTE) * MINUTE + MINUTE; ms <= upTo; ms += MINUTE)
    if (isDate(fields, ms)) dates.push(ms);
  return dates;
}

test('one run for all dates that passed, none twice, none before its time', () => {
  fc.assert(
    fc.property(
      everyDay,
      pauses,
      fc.integer({ min: 0, max: MINUTE - 1 }),
      (fields, steps, offset) => {
        const cron = {
          schedule: `${fields.minute.join()} ${fields.hour.join()} * * *`,
          timezone: null,
          endTime: null,
        };
        let lookedAt = START + offset;
        let next = nextDate(cron, new Date(lookedAt));
        for (const step of steps) {
          const now = lookedAt + step * MINUTE;
          const passed = datesBetween(fields, lookedAt, now);
          // What the statement of src/crons/fire.ts asks, again and again until nothing is due.
          let runs = 0;
          while (next !== null && next.getTime() <= now) {
            const tick = due(cron, next, new Date(now));
            if (tick.fires) runs++;
            expect(tick.next !== null && tick.next > next).toBe(true);
            next = tick.next;
          }
          expect(runs).toBe(passed.length > 0 ? 1 : 0);
          // The date it waits for is the first one to come.
          expect(next?.getTime()).toBe(datesBetween(fields, now, now + 25 * 60 * MINUTE)[0]);
          lookedAt = now;
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('in any zone the dates go forward', () => {
  const zones = ['America/New_York', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Asia/Kathmandu'];
  fc.assert(
    fc.property(
      everyDay,
      fc.constantFrom(...zones),
      fc.integer({ min: Date.UTC(2015, 0), max: Date.UTC(2027, 0) }),
      ({ minute, hour }, timezone, start) => {
        const cron = { schedule: `${minute.join()} ${hour.join()} * * *`, timezone, endTime: null };
        let date = new Date(start);
        for (let i = 0; i < 20; i++) {
          const next = nextDate(cron, date);
          if (next === null) throw new Error('it recurs every day');
          expect(next > date).toBe(true);
          // A day has 24 hours, and one that ends summer time an hour more.
          expect(next.getTime() - date.getTime()).toBeLessThanOrEqual(25 * 60 * MINUTE);
          date = next;
        }
      },
    ),
    { numRuns: 100 },
  );
});
