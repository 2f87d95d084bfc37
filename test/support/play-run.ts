/** Plays a worker with one run in hand, event by event, over the real claim, log and terminal transaction. */
import type { LogOwner } from '../../src/events/backend.ts';
import { finishRun, handOverRun, rollBackRun } from '../../src/runs/finish.ts';
import type { RunEnding } from '../../src/runs/finish.ts';
import { publishEnd } from '../../src/runs/publish-end.ts';
import { claimTerm } from './app.ts';
import type { TestApp } from './app.ts';
import { openLogWriter } from './log-writer.ts';
import { waitUntil } from './wait-until.ts';

export interface PlayedRun {
  readonly owner: LogOwner;
  emit(type: string, data: unknown): void;
  /** The terminal transaction, then the news of it. */
  end(given?: Partial<RunEnding>): Promise<void>;
  /** What a worker does with a rollback request. */
  rollBack(): Promise<void>;
  /** Gives the run back for its next attempt, which `playRun` then claims. */
  handOver(): Promise<void>;
  /** Stops writing without a word, as a worker that dies. */
  die(): void;
}

/** Claims the run when it can be claimed. */
export async function playRun(app: TestApp, runId: string): Promise<PlayedRun> {
  const owner = await waitUntil(() => claimTerm(app, runId), {
    timeoutMs: 20_000,
    what: 'the run to be claimed',
  });
  const { core } = app;
  const writer = openLogWriter(app, owner, { onTrouble: core.onTrouble });
  const rows = (rest: ReturnType<typeof writer.finish>): RunEnding['rest'] =>
    rest.events.map((event, i) => ({
      threadId: owner.threadId,
      seq: rest.first + i,
      term: owner.term,
      ...event,
    }));
  return {
    owner,
    emit(type, data) {
      writer.emit(type, JSON.stringify(data));
    },
    async end(given = {}) {
      const rest = writer.finish();
      const finished = await finishRun(core.pool, {
        threadId: owner.threadId,
        runId: owner.runId,
        term: owner.term,
        status: 'success',
        error: null,
        output: null,
        state: null,
        threadStatus: 'idle',
        rest: rows(rest),
        lastSeq: rest.last,
        webhook: null,
        ...given,
      });
      if (finished.outcome !== 'ended') throw new Error(`the run is ${finished.outcome}`);
      publishEnd(
        core,
        owner,
        {
          threadId: owner.threadId,
          runId: owner.runId,
          status: given.status ?? 'success',
          lastSeq: rest.last,
          term: owner.term,
        },
        finished.next,
        {
          first: rest.unsentFirst,
          events: rest.events.slice(rest.unsentFirst - rest.first),
        },
      );
    },
    async rollBack() {
      const { last } = writer.finish();
      const { threadId, runId, term } = owner;
      const finished = await rollBackRun(core.pool, { threadId, runId, term, lastSeq: last });
      if (finished.outcome !== 'ended') throw new Error(`the run is ${finished.outcome}`);
      const end = { threadId, runId, status: 'deleted', lastSeq: last, term };
      publishEnd(core, owner, end, finished.next, { first: last + 1, events: [] });
    },
    async handOver() {
      const rest = writer.finish();
      const { threadId, runId, term } = owner;
      await handOverRun(
        core.pool,
        { threadId, runId, term, rest: rows(rest), lastSeq: rest.last },
        0,
      );
    },
    die() {
      writer.finish();
    },
  };
}
