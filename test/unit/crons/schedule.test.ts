import { due, firstDate, nextDate } from '../../../src/crons/schedule.ts';

const cron = (
  schedule: string,
  timezone: string | null = null,
  endTime: string | null = null,
): Parameters<typeof nextDate>[0] => ({
  schedule,
  timezone,
  endTime: endTime === null ? null : new Date(endTime),
});

function dates(of: Parameters<typeof nextDate>[0], after: string, count: number): string[] {
  const found: string[] = [];
  let date: Date | null = new Date(after);
  while (found.length < count && (date = nextDate(of, date)) !== null)
    found.push(date.toISOString().slice(0, 16));
  return found;
}

test('a zone’s dates move with its clocks', () => {
  expect(dates(cron('0 9 * * *', 'Europe/Berlin'), '2026-03-27T12:00:00Z', 3)).toEqual([
    '2026-03-28T08:00',
    '2026-03-29T07:00',
    '2026-03-30T07:00',
  ]);
  expect(dates(cron('0 9 * * *'), '2026-03-27T12:00:00Z', 2)).toEqual([
    '2026-03-28T09:00',
    '2026-03-29T09:00',
  ]);
});

test('a time that the clocks leave out comes at the change, one that they repeat comes once', () => {
  expect(dates(cron('30 2 * * *', 'America/New_York'), '2026-03-07T12:00:00Z', 2)).toEqual([
    '2026-03-08T07:00',
    '2026-03-09T06:30',
  ]);
  expect(dates(cron('30 1 * * *', 'America/New_York'), '2026-10-31T12:00:00Z', 2)).toEqual([
    '2026-11-01T05:30',
    '2026-11-02T06:30',
  ]);
});

test('what recurs within the hour goes on through the repeated hour', () => {
  expect(dates(cron('*/30 * * * *', 'America/New_York'), '2026-11-01T05:10:00Z', 4)).toEqual([
    '2026-11-01T05:30',
    '2026-11-01T06:00',
    '2026-11-01T06:30',
    '2026-11-01T07:00',
  ]);
});

test('day and weekday together mean either, as in cron', () => {
  expect(dates(cron('0 0 13 * FRI'), '2026-01-01T00:00:00Z', 3)).toEqual([
    '2026-01-02T00:00',
    '2026-01-09T00:00',
    '2026-01-13T00:00',
  ]);
});

test.each([
  ['* * * * * *', null, '6 fields'],
  ['* * * *', null, '4 fields'],
  ['61 * * * *', null, 'minute'],
  ['2026-01-01T00:00:00', null, 'fields'],
  ['never', null, 'fields'],
  ['* * * * *', 'Mars/Base', 'timezone'],
  ['* * * * *', '+05:30', 'timezone'],
])('%s in %s is refused', (schedule, timezone, message) => {
  expect(() => nextDate(cron(schedule, timezone), new Date())).toThrow(message);
});

test('a schedule that is never due is refused at once', () => {
  expect(() => firstDate(cron('0 0 30 2 *'), new Date())).toThrow('is never due');
  const ended = cron('0 0 * * *', null, '2026-01-01T12:00:00Z');
  expect(() => firstDate(ended, new Date('2026-01-01T01:00:00Z'))).toThrow('before end_time');
});

describe('the end', () => {
  const ends = cron('*/10 * * * *', null, '2026-01-01T00:20:00Z');
  const at = (time: string): Date => new Date(`2026-01-01T${time}Z`);
  test('the date at the end is the last', () => {
    expect(dates(ends, '2026-01-01T00:00:00Z', 9)).toEqual([
      '2026-01-01T00:10',
      '2026-01-01T00:20',
    ]);
  });
  test('a date that is looked at a moment after the end still has its run', () => {
    expect(due(ends, at('00:20:00'), at('00:20:01'))).toEqual({ fires: true, next: null });
  });
  test('one that is looked at long after has none', () => {
    expect(due(ends, at('00:20:00'), at('03:00:00'))).toEqual({ fires: false, next: null });
  });
});
