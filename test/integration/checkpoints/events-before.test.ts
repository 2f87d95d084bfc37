/**
 * A checkpoint is never ahead of the log: in the transaction that commits it, or a task's writes, Postgres has every event
 * that was emitted before it. Postgres itself looks at each of them, at its commit, so nothing hangs on moments.
 */
import { Annotation, END, Send, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import * as pregel from '../../../src/pregel/index.ts';
import type { RunKwargs } from '../../../src/runs/run.ts';
import { submitRun } from '../../../src/runs/submit.ts';
import { createThread, newRun, readAll, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';

const STEPS = 3;
/** The last one comes right before the node ends. */
const EVENTS = 25;
/** Longer than any checkpoint is gathered, shorter than the archiver rests. */
const SLOW_MS = 15;

type Emit = (event: { n: number }) => void;
function count(n: number, emit: Emit): { n: number } {
  for (let i = 0; i < EVENTS; i++) emit({ n: ++n });
  return { n };
}

const State = Annotation.Root({
  n: Annotation<number>({ reducer: (_old, now) => now, default: () => 0 }),
  beside: Annotation<number>({ reducer: (_old, now) => now, default: () => 0 }),
});
const more = ({ n }: { n: number }): 'more' | 'done' => (n < STEPS * EVENTS ? 'more' : 'done');
/** Beside each count one is slow, so the count's own writes are stored before the checkpoint. */
const theirs = new StateGraph(State)
  .addNode('count', (state, config: LangGraphRunnableConfig) =>
    count(state.n, (event) => config.writer?.(event)),
  )
  .addNode('slow', async () => {
    await delay(SLOW_MS);
    return { beside: 1 };
  })
  .addEdge(START, 'count')
  .addEdge(START, 'slow')
  .addConditionalEdges('count', (state) =>
    more(state) === 'done' ? END : [new Send('count', state), new Send('slow', state)],
  )
  .compile();

const OwnState = z.object({ n: z.number().default(0), beside: z.number().default(0) });
const ours = new pregel.StateGraph(OwnState)
  .addNode('count', (state, context) =>
    count(state.n, (event) => {
      context.write(event);
    }),
  )
  .addNode('slow', async () => {
    await delay(SLOW_MS);
    return { beside: 1 };
  })
  .addEdge(pregel.START, 'count')
  .addEdge(pregel.START, 'slow')
  .addConditionalEdges('count', more, { more: 'count', done: pregel.END })
  .addConditionalEdges('count', more, { more: 'slow', done: pregel.END })
  .compile({ name: 'ours' });

/** Every number up to the one that is stored must be in the log, and one that is not is noted. */
const LOOK = `
  CREATE TABLE looked_at (what text, said integer, missing integer);
  CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
  DECLARE said integer;
  BEGIN
    said := CASE TG_TABLE_NAME
      WHEN 'checkpoints' THEN (to_jsonb(NEW) -> 'head' -> 'inline' -> 'n' ->> 1)::integer
      ELSE CASE WHEN to_jsonb(NEW) ->> 'channel' = 'n' THEN (to_jsonb(NEW) ->> 'data')::integer END END;
    IF said IS NOT NULL THEN
      INSERT INTO looked_at SELECT TG_TABLE_NAME, said, count(*) FROM generate_series(1, said) AS n
        WHERE NOT EXISTS (SELECT 1 FROM events WHERE thread_id = NEW.thread_id
          AND type LIKE '%custom%' AND data LIKE '%"n":' || n || '}%');
    END IF;
    RETURN NULL;
  END $$;
  CREATE CONSTRAINT TRIGGER look AFTER INSERT ON checkpoints DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION look();
  CREATE CONSTRAINT TRIGGER look AFTER INSERT ON checkpoint_writes DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION look();`;

interface Found {
  what: string;
  said: number;
  missing: number;
}

async function lookedAt(app: TestApp): Promise<Found[]> {
  const { rows } = await app.core.pool.query<Found>(
    'DELETE FROM looked_at RETURNING what, said, missing',
  );
  return rows;
}

const CUSTOM: Partial<RunKwargs> = { stream_mode: ['custom'] };
const ALL_DURABILITIES = ['sync', 'async', 'exit'].map((durability) => ({
  durability,
  way: CUSTOM,
}));
/** Of LangGraph.js, whose chunks come in streams of its own. */
const OTHER_WAYS = [{ stream_mode: ['values', 'custom', 'events'] }, { protocol: 'v2' }].flatMap(
  (way) => [
    { durability: 'sync', way },
    { durability: 'async', way },
  ],
);

describe.each([
  {
    runtime: 'LangGraph.js',
    graph: theirs,
    redis: true,
    ways: [...ALL_DURABILITIES, ...OTHER_WAYS],
  },
  { runtime: 'LangGraph.js', graph: theirs, redis: false, ways: ALL_DURABILITIES },
  { runtime: 'our Pregel', graph: ours, redis: true, ways: ALL_DURABILITIES },
  { runtime: 'our Pregel', graph: ours, redis: false, ways: ALL_DURABILITIES },
])('$runtime, with Redis: $redis', ({ graph, redis, ways }) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ redis, graph });
    await app.core.pool.query(LOOK);
  });
  afterAll(() => app.stop());

  test.each(ways)('[5b] durability $durability, $way', async ({ durability, way }) => {
    const threadId = await createThread(app);
    const run = newRun(app, threadId, { input: { n: 0 } });
    const kwargs = { ...run.kwargs, ...way, durability } as RunKwargs;
    await submitRun(app.core.submit, { ...run, kwargs });
    const { status } = await readAll(app, { threadId, runId: run.runId });
    expect(status).toBe('success');
    const found = await lookedAt(app);
    expect(found.filter(({ missing }) => missing > 0)).toEqual([]);
    expect(found.some(({ said }) => said === STEPS * EVENTS)).toBe(true);
    if (durability !== 'exit')
      expect(new Set(found.map(({ what }) => what))).toEqual(
        new Set(['checkpoints', 'checkpoint_writes']),
      );
  });
});
