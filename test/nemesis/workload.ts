/**
 * Users: each has a thread for a while and does with it what users do, all chosen by the seed: runs, several at once in
 * every strategy, cancels, interrupts and their resumes, waits, joins and reconnects at any position. Of every run
 * it checks what it was told against what the server has in the end. Only HTTP, so it plays against any server.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { newId } from '../../src/ids.ts';
import { createRandom } from '../property/log/random.ts';
import type { Random } from '../property/log/random.ts';
import { counterViolations, endViolations, rewindsIn, viewViolations } from '../support/checker.ts';
import type { Session } from '../support/checker.ts';
import type { SseEvent } from '../support/event-client.ts';
import type { Journal } from './journal.ts';
import { createClient } from './target.ts';
import type { Client, Target } from './target.ts';

export interface WorkloadOptions {
  readonly seed: number;
  readonly users: number;
  /** Graphs that count: test/support/fault-project. */
  readonly assistants: readonly string[];
  /** Receives webhooks; undefined: none are asked for. */
  readonly webhookUrl: string | undefined;
  /** Where steps of `counter` leave their effects. */
  readonly effectsFile: string | undefined;
}

export interface Figures {
  runs: number;
  events: number;
  rewinds: number;
  /** Connections that went on after Last-Event-ID. */
  resumed: number;
  /** What users did, by name. */
  readonly did: Record<string, number>;
  /** Runs by what became of them. */
  readonly ends: Record<string, number>;
}

export interface Workload {
  readonly figures: Figures;
  readonly client: Client;
  /** Nothing new is begun; settles when all that was is checked. */
  stop(): Promise<void>;
}

const STRATEGIES = ['reject', 'enqueue', 'interrupt', 'rollback'] as const;
/** Told of a request that is repeated, when its run was rolled back meanwhile. */
const REMOVED = 'this Idempotency-Key has made its run, and the run was removed since';
/** Errors that a run may end with when its workers are killed again and again. */
const EXCUSED = /WorkerLostError|EffectUnknownError/;

/** Of test/support/fault-project/probe.ts. */
const MISDEEDS = ['kill', 'block', 'silent', 'ignore-signal', 'transient'] as const;

interface Begun {
  readonly threadId: string;
  readonly runId: string;
  /** Custom events of a whole run, and the first one's number. */
  readonly expected: number;
  readonly from: number;
  /** Somebody may stop it, or take it away. */
  readonly stoppable: boolean;
}

export function startWorkload(
  target: Target,
  journal: Journal,
  options: WorkloadOptions,
): Workload {
  const figures: Figures = { runs: 0, events: 0, rewinds: 0, resumed: 0, did: {}, ends: {} };
  const client = createClient(target, journal, createRandom(options.seed ^ 0x5bd1e995));
  let stopping = false;

  const pathOf = ({ threadId, runId }: Begun): string => `/threads/${threadId}/runs/${runId}`;

  function planOf(random: Random): { steps: number; events: number; [more: string]: unknown } {
    return {
      steps: 1 + random.below(4),
      events: 1 + random.below(random.chance(0.1) ? 400 : 40),
      eventMs: random.pick([0, 1, 5, 15]) ?? 0,
      tag: newId(),
      ...(options.effectsFile === undefined ? {} : { effects: options.effectsFile }),
    };
  }

  async function newThread(): Promise<string | undefined> {
    const threadId = newId();
    // Under an id of our own it may be sent again.
    const body = { thread_id: threadId, if_exists: 'do_nothing' };
    const answer = await client.call('POST', '/threads', body, { key: newId(), of: threadId });
    return answer?.status === 200 ? threadId : undefined;
  }

  /** @returns undefined: refused as it should be, or nobody knows */
  async function begin(
    random: Random,
    threadId: string,
    given: {
      strategy?: (typeof STRATEGIES)[number];
      stoppable?: boolean;
      interrupt?: boolean;
      /** Goes on with the thread's state: what is left of this plan. */
      resume?: { expected: number; from: number; assistant: string };
      plan?: ReturnType<typeof planOf>;
      assistant?: string;
    } = {},
  ): Promise<Begun | undefined> {
    const plan = given.plan ?? planOf(random);
    const { strategy = 'enqueue', resume } = given;
    const answer = await client.call(
      'POST',
      `/threads/${threadId}/runs`,
      {
        assistant_id: resume?.assistant ?? given.assistant ?? random.pick(options.assistants),
        input: resume === undefined ? { plan, step: 0, n: 0 } : null,
        stream_mode: ['custom'],
        stream_resumable: true,
        multitask_strategy: strategy,
        config: { recursion_limit: 1_000 },
        ...(given.interrupt === true ? { interrupt_after: ['count'] } : {}),
        ...(options.webhookUrl !== undefined && random.chance(0.2)
          ? { webhook: options.webhookUrl }
          : {}),
      },
      { key: newId(), of: threadId },
    );
    if (answer === undefined) return undefined;
    // 422 with the official servers.
    if ([409, 422].includes(answer.status) && strategy === 'reject') return undefined;
    // Its first answer was lost, and another run has rolled it back before it was asked for again.
    if (
      answer.status === 404 &&
      strategy === 'rollback' &&
      JSON.stringify(answer.body).includes(REMOVED)
    )
      return undefined;
    if (answer.status !== 200) {
      journal.violation(`run refused: ${answer.status} ${JSON.stringify(answer.body)}`, threadId);
      return undefined;
    }
    figures.runs++;
    const { run_id: runId } = answer.body as { run_id: string };
    journal.note(`run ${runId} accepted (${strategy})`, threadId);
    const steps = given.interrupt === true ? 1 : plan.steps;
    return {
      threadId,
      runId,
      expected: resume?.expected ?? steps * plan.events,
      from: resume?.from ?? 0,
      stoppable: given.stoppable === true,
    };
  }

  /** Where a client loses its connection: nowhere, or at some of the events. */
  const cutsOf = (random: Random, events: number): number[] =>
    Array.from({ length: random.below(4) }, () => 1 + random.below(Math.max(1, events)));

  /** Several clients of one run, each in its own way, and the check of all they got. */
  async function followAll(random: Random, run: Begun, clients: number): Promise<string> {
    const path = `${pathOf(run)}/stream`;
    const sessions: (readonly Session[])[] = [];
    let gone = false;
    await Promise.all(
      Array.from({ length: clients }, async (_, i) => {
        const own = createRandom(random.below(2 ** 31));
        // Some come late.
        if (i > 0) await delay(own.below(1_500));
        const got = await client.follow(path, run.threadId, cutsOf(own, run.expected), own);
        if (got === undefined) gone = true;
        else sessions.push(got);
      }),
    );
    return conclude(random, run, sessions, gone);
  }

  async function conclude(
    random: Random,
    run: Begun,
    clients: readonly (readonly Session[])[],
    gone: boolean,
  ): Promise<string> {
    const of = run.threadId;
    const archive = gone ? undefined : await client.replay(`${pathOf(run)}/stream`, of, random);
    const answer = await client.call('GET', pathOf(run), undefined, { of });
    if (answer === undefined) return 'unknown';
    let status = (answer.body as { status?: string }).status ?? `HTTP ${answer.status}`;
    if (answer.status === 404 || archive === undefined) {
      status = 'gone';
      if (!run.stoppable) journal.violation(`run ${run.runId} is gone, nobody took it away`, of);
    } else {
      for (const wrong of wrongIn(run, status, archive, clients))
        journal.violation(`run ${run.runId}: ${wrong}`, of);
      figures.events += archive.length;
      figures.rewinds += clients.reduce((sum, sessions) => sum + rewindsIn(sessions), 0);
      figures.resumed += clients.reduce((sum, sessions) => sum + sessions.length - 1, 0);
    }
    figures.ends[status] = (figures.ends[status] ?? 0) + 1;
    journal.note(`run ${run.runId} is ${status}, ${archive?.length ?? 0} events`, of);
    return status;
  }

  function* wrongIn(
    run: Begun,
    status: string,
    archive: readonly SseEvent[],
    clients: readonly (readonly Session[])[],
  ): Generator<string> {
    for (const [c, sessions] of clients.entries())
      for (const wrong of viewViolations(sessions, archive)) yield `client ${c + 1}: ${wrong}`;
    const whole = status === 'success' ? run.expected : undefined;
    yield* counterViolations(archive, whole, run.from);
    yield* endViolations({ row: status, api: status, archive, clients });
    if (status === 'interrupted' && !run.stoppable)
      yield 'it is interrupted, nobody asked for that';
    const last = archive.at(-1)?.data ?? '';
    if (status === 'error' && !EXCUSED.test(last)) yield `it failed with ${last}`;
    if (status === 'timeout') yield 'it timed out';
  }

  const ops: Record<string, (random: Random, threadId: string) => Promise<unknown>> = {
    async run(random, threadId) {
      const run = await begin(random, threadId);
      if (run !== undefined) await followAll(random, run, 1 + random.below(3));
    },
    async several(random, threadId) {
      const strategy = random.pick(STRATEGIES) ?? 'enqueue';
      const stoppable = strategy === 'interrupt' || strategy === 'rollback';
      const runs = await Promise.all(
        Array.from({ length: 2 + random.below(4) }, () =>
          begin(random, threadId, { strategy, stoppable }),
        ),
      );
      await Promise.all(
        runs.flatMap((run) => (run === undefined ? [] : [followAll(random, run, 1)])),
      );
    },
    async cancel(random, threadId) {
      const run = await begin(random, threadId, { stoppable: true });
      if (run === undefined) return;
      const following = followAll(random, run, 1 + random.below(2));
      await delay(random.below(400));
      const query = `wait=${random.chance(0.5)}&action=${random.pick(['interrupt', 'rollback'])}`;
      journal.note(`cancel ${run.runId} ${query}`, threadId);
      const path = `${pathOf(run)}/cancel?${query}`;
      await client.call('POST', path, undefined, { key: newId(), of: threadId, limitMs: 60_000 });
      await following;
    },
    async human(random, threadId) {
      const plan = { ...planOf(random), steps: 2 };
      const assistant = random.pick(options.assistants) ?? '';
      const asked = await begin(random, threadId, { plan, assistant, interrupt: true });
      if (asked === undefined) return;
      if ((await followAll(random, asked, 1)) !== 'success') return;
      const { events } = plan;
      const resume = { expected: events, from: events, assistant };
      const run = await begin(random, threadId, { plan, resume });
      if (run !== undefined) await followAll(random, run, 1 + random.below(2));
    },
    /** More than all buffers between the server and a slow client hold. */
    async large(random, threadId) {
      const plan = { ...planOf(random), steps: 2, events: 700, eventMs: 0, padding: 8_000 };
      const run = await begin(random, threadId, {
        plan,
        assistant: random.pick(options.assistants) ?? '',
      });
      if (run !== undefined) await followAll(random, run, 2);
    },
    /** Once, at one of its steps, the graph does what graphs should not. */
    async trouble(random, threadId) {
      const plan = {
        ...planOf(random),
        then: random.pick(MISDEEDS) ?? 'silent',
        forMs: 500 + random.below(5_000),
        once: `${options.effectsFile}-${newId()}`,
      };
      const atStep = random.below(plan.steps);
      const run = await begin(random, threadId, { plan: { ...plan, atStep }, assistant: 'probe' });
      if (run !== undefined) await followAll(random, run, 1 + random.below(2));
    },
    /** Without a thread of its own, waited for in the request itself. */
    async stateless(random) {
      const plan = planOf(random);
      const body = {
        assistant_id: random.pick(options.assistants),
        input: { plan, step: 0, n: 0 },
        config: { recursion_limit: 1_000 },
      };
      const given = { key: newId(), limitMs: 90_000 };
      const answer = await client.call('POST', '/runs/wait', body, given);
      if (answer === undefined) return;
      figures.runs++;
      const { n, __error__: failed } = answer.body as { n?: number; __error__?: unknown };
      const status = failed === undefined ? 'success' : 'error';
      figures.ends[status] = (figures.ends[status] ?? 0) + 1;
      const expected = plan.steps * plan.events;
      if (status === 'success' ? n !== expected : !EXCUSED.test(JSON.stringify(failed)))
        journal.violation(`/runs/wait answered ${JSON.stringify(answer)}, not n=${expected}`);
    },
    async wait(random, threadId) {
      const run = await begin(random, threadId);
      if (run === undefined) return;
      const answer = await client.call('GET', `${pathOf(run)}/join`, undefined, {
        of: threadId,
        limitMs: 90_000,
      });
      const { n } = (answer?.body ?? {}) as { n?: number };
      const status = await followAll(random, run, 1);
      if (answer !== undefined && status === 'success' && n !== run.expected)
        journal.violation(`run ${run.runId}: join answered n=${n}, not ${run.expected}`, threadId);
    },
  };

  /** What a user may choose; large ones are for few, and trouble takes hands on the machine. */
  const names = Object.keys(ops).flatMap((name) => {
    if (name === 'large') return [name];
    return name === 'trouble' && options.effectsFile === undefined ? [] : [name, name, name];
  });
  async function user(random: Random): Promise<void> {
    let threadId: string | undefined;
    while (!stopping) {
      if (threadId === undefined || random.chance(0.2)) threadId = await newThread();
      if (threadId === undefined) continue;
      const name = random.pick(names) ?? 'run';
      journal.note(name, threadId);
      figures.did[name] = (figures.did[name] ?? 0) + 1;
      await ops[name]?.(random, threadId);
      await delay(random.below(200));
    }
  }
  const users = Array.from({ length: options.users }, (_, i) =>
    user(createRandom(options.seed + 7_919 * (i + 1))).catch((error: unknown) => {
      journal.violation(`a user broke: ${error instanceof Error ? error.stack : String(error)}`);
    }),
  );
  return {
    figures,
    client,
    async stop() {
      stopping = true;
      await Promise.all(users);
    },
  };
}
