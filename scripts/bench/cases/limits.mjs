/** The raw limits of this machine at this moment, to read all else against. */
const name = 'limits';

async function run(bench) {
  const { limits } = bench.raw;
  const n = (quick, full) => bench.pick(quick, full);
  const works = [
    ...(bench.path === 'redis'
      ? [
          [
            'append-1',
            'Lua append (XADD + PUBLISH), one event a call',
            'events/s',
            { kind: 'append', batch: 1, batches: n(3_000, 20_000) },
          ],
          [
            'append-64',
            'Lua append, 64 events a call',
            'events/s',
            { kind: 'append', batch: 64, batches: n(600, 4_000) },
          ],
          [
            'queue-10',
            'BullMQ no-op worker, 10 at once',
            'jobs/s',
            { kind: 'queue', count: n(3_000, 20_000), concurrency: 10 },
          ],
        ]
      : []),
    [
      'insert-1000',
      'INSERT of 1,000 events, 1 connection',
      'events/s',
      { kind: 'insert', batch: 1_000, batches: n(30, 200), parallel: 1 },
    ],
    [
      'commit-1',
      'INSERT of a row, 1 connection',
      'commits/s',
      { kind: 'commit', count: n(1_000, 5_000), parallel: 1 },
    ],
    [
      'commit-32',
      'INSERT of a row, 32 connections',
      'commits/s',
      { kind: 'commit', count: n(4_000, 30_000), parallel: 32 },
    ],
    [
      'notify-32',
      'INSERT of a row and NOTIFY, 32 connections',
      'commits/s',
      { kind: 'notify', count: n(2_000, 10_000), parallel: 32 },
    ],
    [
      'invoke',
      'bare LangGraph.js, 1-node invoke',
      'invokes/s',
      { kind: 'invoke', count: n(300, 2_000) },
    ],
    [
      'invoke-pregel',
      'bare Pregel of ours, 1-node invoke',
      'invokes/s',
      { kind: 'invoke', graph: 'pregel', count: n(1_000, 10_000) },
    ],
    [
      'stream',
      'bare LangGraph.js, custom events, a turn after each',
      'events/s',
      { kind: 'stream', count: n(10_000, 50_000) },
    ],
  ];
  for (const [id, title, unit, message] of works) {
    const { perSecond } = await bench.cpu(`limits-${id}`, 1, () => limits.ask(message));
    bench.row({ id: `limits/${id}`, title, unit, value: perSecond, during: `limits-${id}` });
  }
}

export const limits = { name, paths: ['redis', 'direct'], raw: ['limits'], run };
