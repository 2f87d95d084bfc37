/** The table of runs that the worker's two threads share. */
import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { createLeaseMemory, openLeaseTable } from '../../../src/worker/lease-table.ts';

test('what one side holds, the other reads; what it dropped is gone', () => {
  const memory = createLeaseMemory(3);
  const [main, thread] = [openLeaseTable(memory), openLeaseTable(memory)];
  const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
  const first = main.hold({ runId: a, term: 1, attempt: 1 });
  main.hold({ runId: b, term: 2 ** 40, attempt: 3 });
  expect(thread.held()).toEqual(
    new Map([
      [a, { term: 1, attempt: 1 }],
      [b, { term: 2 ** 40, attempt: 3 }],
    ]),
  );
  main.drop(first);
  main.hold({ runId: c, term: 7, attempt: 2 });
  expect(thread.held()).toEqual(
    new Map([
      [c, { term: 7, attempt: 2 }],
      [b, { term: 2 ** 40, attempt: 3 }],
    ]),
  );
});

test('a full table refuses one more', () => {
  const table = openLeaseTable(createLeaseMemory(1));
  const slot = table.hold({ runId: randomUUID(), term: 1, attempt: 1 });
  expect(() => table.hold({ runId: randomUUID(), term: 1, attempt: 1 })).toThrow(
    'more than 1 runs',
  );
  table.drop(slot);
  expect(table.hold({ runId: randomUUID(), term: 1, attempt: 1 })).toBe(slot);
});

test('a reader in another thread never sees half of one run and half of the next', async () => {
  const memory = createLeaseMemory(1);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  // Ids whose digits are all the same, with the term that belongs to each.
  const writer = new Worker(
    `const { workerData: { memory, stop } } = require('node:worker_threads');
     const counts = new Int32Array(memory), terms = new BigInt64Array(memory), bytes = Buffer.from(memory);
     for (let n = 0; Atomics.load(stop, 0) === 0; n++) {
       Atomics.store(terms, 1, BigInt(n % 10));
       bytes.write(String(n % 10).repeat(32), 16, 'hex');
       Atomics.add(counts, 0, 1);
       Atomics.add(counts, 0, 1);
     }`,
    { eval: true, workerData: { memory, stop } },
  );
  await new Promise((resolve) => writer.once('online', resolve));
  const table = openLeaseTable(memory);
  let seen = 0;
  const mixed: [string, number][] = [];
  for (let tries = 0; tries < 2_000_000 && seen < 2_000; tries++) {
    for (const [runId, { term }] of table.held()) {
      seen++;
      if (runId.replaceAll('-', '') !== String(term).repeat(32)) mixed.push([runId, term]);
    }
  }
  Atomics.store(stop, 0, 1);
  await new Promise((resolve) => writer.once('exit', resolve));
  expect(mixed).toEqual([]);
  expect(seen).toBeGreaterThan(0);
});
