/**
 * Finds what consumer groups are due, and keeps what became of it (how it is handed over: consumer-group-delivery.ts). Any
 * number of processes do, each with a bounded number of attempts under way and a smaller number per group, so that
 * one that hangs does not hold up the others. Runs do not notice.
 */
import { readBatch } from '../consumer-groups/batch.ts';
import {
  claimDeadLetter,
  failDeadLetter,
  releaseDeadLetter,
  removeDeadLetter,
} from '../consumer-groups/dead-letters.ts';
import type { ClaimedDeadLetter } from '../consumer-groups/dead-letters.ts';
import { declareGroup, listGroups } from '../consumer-groups/group.ts';
import type { ConsumerGroup, NewConsumerGroup } from '../consumer-groups/group.ts';
import { collectMarks, seedPositions } from '../consumer-groups/marks.ts';
import { advance, bury, claimPosition, postpone, release } from '../consumer-groups/positions.ts';
import type { ClaimedPosition } from '../consumer-groups/positions.ts';
import type { Service } from '../lib/service.ts';
import type { Pool } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import { EVERYTHING } from '../postgres/visibility.ts';
import type { Tell } from '../telemetry/tell.ts';
import { backOffMs, CLAIM_MARGIN_MS, settle } from '../webhooks/retry.ts';
import { createDelivery } from './consumer-group-delivery.ts';
import type { DeliveryDeps } from './consumer-group-delivery.ts';
import { createLanes } from './lanes.ts';

/** Attempts under way for one group, per process. */
const PER_GROUP_MAX = 4;
/** While there are groups, events that nobody told us of wait this long. */
const LOOK_MS = 200;
const DIED = 'every attempt was broken off: the processes that made them died, or took too long';

export interface ConsumerGroupSenderDeps extends DeliveryDeps {
  readonly pool: Pool;
  readonly signals: Signals;
  readonly tell: Tell;
  /** The project's groups. */
  readonly declared: readonly NewConsumerGroup[];
  readonly concurrency: number;
  readonly attemptsMax: number;
  /** Before the second attempt; the later ones wait longer and longer, up to an hour. */
  readonly firstRetryMs: number;
  /** How often groups are looked for while there are none. */
  readonly pollMs: number;
  onTrouble(what: string, error: unknown): void;
}

export interface ConsumerGroupSender extends Service {
  /** Something was archived, or a group made: look now. */
  wake(): void;
}

export function createConsumerGroupSender(deps: ConsumerGroupSenderDeps): ConsumerGroupSender {
  const { pool } = deps;
  const leaseMs = deps.timeoutMs + CLAIM_MARGIN_MS;
  const retryMs = (attempts: number): number => backOffMs(deps.firstRetryMs, attempts);
  const { send } = createDelivery(deps);
  const lanes = createLanes({
    concurrency: deps.concurrency,
    perReceiverMax: PER_GROUP_MAX,
    claim: claimItem,
    onTrouble: (error) => {
      deps.onTrouble('consumer groups', error);
    },
  });
  let groups: ReadonlyMap<string, ConsumerGroup> = new Map();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let lookAgain = false;
  let started = false;
  let stopping = false;
  /** Replays and positions take turns, so that neither holds up the other. */
  let replaysFirst = false;

  function wake(): void {
    if (!started || stopping || groups.size === 0) return;
    void look();
  }

  function look(): Promise<void> {
    lookAgain = true;
    looking ??= lookOnce()
      .catch((error: unknown) => {
        deps.onTrouble('consumer groups', error);
      })
      .finally(() => {
        looking = undefined;
        lookLater();
      });
    return looking;
  }

  async function lookOnce(): Promise<void> {
    while (lookAgain && !stopping) {
      lookAgain = false;
      const rows = await listGroups(pool, EVERYTHING);
      groups = new Map(rows.map((group) => [group.group_id, group]));
      if (groups.size === 0) return;
      await seedPositions(pool);
      const { more } = await collectMarks(pool);
      lookAgain ||= more;
      lanes.open();
    }
  }

  function lookLater(): void {
    clearTimeout(timer);
    if (stopping) return;
    timer = setTimeout(() => void look(), groups.size === 0 ? deps.pollMs : LOOK_MS);
  }

  async function claimItem(
    busy: ReadonlySet<string>,
  ): Promise<{ receiver: string; attempt(): Promise<void> } | 'again' | undefined> {
    const ids = [...groups.values()]
      .filter((group) => group.url !== null || deps.functions.has(group.name))
      .map((group) => group.group_id)
      .filter((id) => !busy.has(id));
    if (ids.length === 0) return undefined;
    const item = await claim(ids);
    if (item === undefined) return undefined;
    const { group_id: id } = item.claimed;
    const group = groups.get(id);
    if (group === undefined) return 'again';
    return {
      receiver: id,
      attempt: () =>
        item.kind === 'replay' ? replay(group, item.claimed) : deliver(group, item.claimed),
    };
  }

  type Item =
    { kind: 'replay'; claimed: ClaimedDeadLetter } | { kind: 'position'; claimed: ClaimedPosition };

  async function claim(ids: readonly string[]): Promise<Item | undefined> {
    replaysFirst = !replaysFirst;
    const ofReplays = async (): Promise<Item | undefined> => {
      const claimed = await claimDeadLetter(pool, ids, leaseMs);
      return claimed && { kind: 'replay', claimed };
    };
    const ofPositions = async (): Promise<Item | undefined> => {
      const claimed = await claimPosition(pool, ids, leaseMs);
      return claimed && { kind: 'position', claimed };
    };
    const [first, second] = replaysFirst ? [ofReplays, ofPositions] : [ofPositions, ofReplays];
    return (await first()) ?? (await second());
  }

  async function deliver(group: ConsumerGroup, position: ClaimedPosition): Promise<void> {
    const { thread_id: threadId, seq: after, batch_to: to, attempts } = position;
    const { events, end } = await readBatch(pool, group, { threadId, after, to });
    if (events.length === 0) {
      await settle(() => advance(pool, position, end));
      return;
    }
    const error =
      attempts > deps.attemptsMax
        ? DIED
        : await send(group, threadId, { events, replay: false }, lanes.signal);
    if (error === undefined) {
      await release(pool, position);
      return;
    }
    if (error === null) {
      deps.tell.consumerBatch('delivered', group.name);
      await settle(() => advance(pool, position, end));
    } else if (attempts < deps.attemptsMax) {
      deps.tell.consumerBatch('failed', group.name);
      await settle(() => postpone(pool, position, { end, error, retryMs: retryMs(attempts) }));
    } else {
      deps.tell.consumerBatch('dead', group.name);
      await settle(() => bury(pool, position, { events, end, error }));
    }
  }

  async function replay(group: ConsumerGroup, letter: ClaimedDeadLetter): Promise<void> {
    const { thread_id: threadId, seq, attempts } = letter;
    // Without the filters: it has passed them.
    const { events } = await readBatch(
      pool,
      { ...group, assistant_id: null, event_types: null },
      { threadId, after: seq - 1, to: seq },
    );
    if (events.length === 0) {
      await settle(() => removeDeadLetter(pool, letter));
      return;
    }
    const error =
      attempts > deps.attemptsMax
        ? DIED
        : await send(group, threadId, { events, replay: true }, lanes.signal);
    if (error === undefined) {
      await releaseDeadLetter(pool, letter);
      return;
    }
    const last = attempts >= deps.attemptsMax;
    deps.tell.consumerBatch(error === null ? 'delivered' : last ? 'dead' : 'failed', group.name);
    await settle(() =>
      error === null
        ? removeDeadLetter(pool, letter)
        : failDeadLetter(pool, letter, error, last ? null : retryMs(attempts)),
    );
  }

  return {
    wake,
    /** @throws {ConsumerGroupExistsError} a group of the project has the name of one that the API has made */
    async start() {
      if (started) return;
      started = true;
      for (const group of deps.declared) await declareGroup(pool, group);
      deps.signals.on('log', wake);
      deps.signals.on('ended', wake);
      deps.signals.on('consumer_group', () => void look());
      lookLater();
    },
    async stop() {
      stopping = true;
      clearTimeout(timer);
      await lanes.stop(looking);
    },
  };
}
