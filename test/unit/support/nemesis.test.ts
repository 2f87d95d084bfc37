/** The parts of the nemesis that decide what is played and what is shown. */
import { createJournal } from '../../nemesis/journal.ts';
import { FAULTS, schedule } from '../../nemesis/schedule.ts';
import type { PlannedFault } from '../../nemesis/schedule.ts';

const first = (seed: number, count: number): PlannedFault[] => {
  const planned: PlannedFault[] = [];
  for (const fault of schedule(seed)) {
    planned.push(fault);
    if (planned.length === count) break;
  }
  return planned;
};

test('a seed plays the same faults again, another one others; each within its bound, each kind now and then', () => {
  expect(first(7, 50)).toEqual(first(7, 50));
  expect(first(7, 50)).not.toEqual(first(8, 50));
  const many = first(1, 1_000);
  for (const { kind, forMs } of many) expect(forMs).toBeLessThanOrEqual(FAULTS[kind]);
  expect(new Set(many.map(({ kind }) => kind)).size).toBe(Object.keys(FAULTS).length);
});

test('a violation is shown with what happened to its thread and to the machines, not to others', () => {
  const journal = createJournal();
  journal.note('run accepted', 'mine');
  journal.note('run accepted elsewhere', 'other');
  journal.note('kill worker for 20 ms');
  journal.violation('a hole', 'mine');
  const [violation] = journal.violations;
  expect(violation?.what).toBe('a hole');
  expect(violation?.history.map((line) => line.replace(/^ *[\d.]+ {2}/, ''))).toEqual([
    'run accepted',
    '== kill worker for 20 ms',
    'VIOLATION a hole',
  ]);
});
