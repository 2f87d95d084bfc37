/** Who hears that a run is lost, when a process gets the same run twice. */
import { randomUUID } from 'node:crypto';
import { createLeaseKeeper } from '../../../src/worker/lease-keeper.ts';

test('a run that comes back to its process has one slot, and the attempt before it is told and lets go of nothing', () => {
  // Not started: no thread is needed for the table.
  const keeper = createLeaseKeeper({
    databaseUrl: '',
    prepare: true,
    redisUrl: undefined,
    contract: { heartbeatPrefix: '', attemptPrefix: '', cancelPrefix: '' },
    workerId: 'w',
    slots: 1,
    intervalMs: 1_000,
    leaseMs: 1_000,
    stallLimitMs: 1_000,
    onNote: () => undefined,
    onTrouble: () => undefined,
  });
  const runId = randomUUID();
  const lost: number[] = [];
  const hold = (run: { runId: string; term: number; attempt: number }): (() => void) =>
    keeper.hold(run, {
      onLost: () => lost.push(run.term),
      onCancel: () => undefined,
    });
  const first = hold({ runId, term: 3, attempt: 1 });
  const second = hold({ runId, term: 5, attempt: 2 });
  expect(lost).toEqual([3]);
  first();
  const other = { runId: randomUUID(), term: 1, attempt: 1 };
  expect(() => hold(other)).toThrow('more than 1 runs');
  second();
  second();
  hold(other);
  expect(() => hold({ runId: randomUUID(), term: 1, attempt: 1 })).toThrow('more than 1 runs');
});
