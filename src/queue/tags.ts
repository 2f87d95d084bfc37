/**
 * The run queue in parts, each under a hash tag of its own: a tag is in one slot of a cluster, a slot on one
 * master, so several tags bring several masters to work.
 *
 * The tags are chosen by their slots, as far from each other as so many can be: names that were only counted may all
 * fall on one master. The first n are the same whatever the number: who raises it leaves no wake-up where nobody listens.
 */
import { SLOT_COUNT, slotOf } from '../redis/slot.ts';

export const QUEUE_TAGS_MAX = 64;
/** Names that are tried for each slot: the nearest of so many is some ten slots away from it. */
const NAMES_TRIED = 1_000;

/** One of BullMQ's queues: all its keys begin with `prefix:name:`. */
export interface QueueTag {
  readonly name: string;
  /** In braces, so that all keys of the queue share a slot. */
  readonly prefix: string;
}

/** @param keyPrefix the deployment's; `count` from 1 to QUEUE_TAGS_MAX */
export function queueTags(keyPrefix: string, count: number): readonly QueueTag[] {
  const first = `${keyPrefix}:queue`;
  const tags: QueueTag[] = [{ name: 'runs', prefix: `{${first}}` }];
  for (let i = 1; i < count; i++) {
    const slot = slotOf(first) + halvings(i) * SLOT_COUNT;
    tags.push({ name: `runs-${i}`, prefix: `{${nearest(first, slot)}}` });
  }
  return tags;
}

/** Which of `count` tags a run's wake-ups are under. */
export const tagOfRun = (runId: string, count: number): number =>
  count === 1 ? 0 : Number.parseInt(runId.slice(-4), 16) % count;

/** 1/2, 1/4, 3/4, 1/8, 5/8, …: each next one is in the middle of the widest gap. */
function halvings(index: number): number {
  let place = 0;
  for (let rest = index, part = 0.5; rest > 0; rest >>= 1, part /= 2) place += (rest & 1) * part;
  return place;
}

function nearest(first: string, slot: number): string {
  let best = '';
  let least = Infinity;
  for (let n = 0; n < NAMES_TRIED; n++) {
    const name = `${first}:${n}`;
    const away = Math.abs(slotOf(name) - (slot % SLOT_COUNT));
    const distance = Math.min(away, SLOT_COUNT - away);
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
}
