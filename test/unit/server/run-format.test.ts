import type { Db } from '../../../src/postgres/pool.ts';
import { createTermAttempts } from '../../../src/server/attempts.ts';
import { EVERYTHING } from '../../../src/server/frames.ts';
import { runFormat } from '../../../src/server/sse.ts';

test('what a live batch says of its term is known when the next comes from the log, with Postgres away', async () => {
  const db = { query: () => Promise.reject(new Error('Postgres is away')) } as unknown as Db;
  const format = runFormat(createTermAttempts(db), 'thread', EVERYTHING);
  const batch = { threadId: 'thread', term: 3, first: 7, events: [{ type: 'custom', data: '1' }] };
  const live = { ...batch, runId: 'run', attempt: 2, runFirst: 7 };
  await expect(format.encode(batch, 7)).rejects.toThrow('Postgres is away');
  void format.encode(live, 7);
  const frames = format.encode({ ...batch, first: 8 }, 7);
  expect(Buffer.concat(frames as Buffer[]).toString()).toBe('event: custom\ndata: 1\nid: 1-2\n\n');
});
