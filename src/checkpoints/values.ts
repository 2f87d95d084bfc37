/**
 * Where a checkpoint's channel values go. A large value is a row of its own, shared by all checkpoints that
 * still have it; a small one is part of each checkpoint's row, because a row of its own costs more than
 * repeating it. What was read or written before is remembered by its version, so that an unchanged value is
 * encoded once.
 *
 * A value is in its checkpoint or in a row before it, always: what is not known to be anywhere is written anew.
 */
import type {
  CheckpointHead,
  Encoded,
  InlineValues,
  StoredCheckpoint,
  Version,
} from './checkpoint.ts';

/** Characters of a value that is kept inside its checkpoint, and of all of them. */
const INLINE_LENGTH_MAX = 256;
const INLINE_TOTAL_MAX = 1_024;

type Versions = Pick<CheckpointHead, 'channel_versions'>;
type Values = Readonly<Record<string, unknown>>;

export interface PlacedValues {
  readonly inline: InlineValues;
  readonly blobs: readonly (Encoded & { channel: string; version: Version })[];
}

/** What one checkpoint needs, fixed at once: encoding may take a while, and others may come meanwhile. */
export interface Placement {
  /** Channels whose value is not known to be stored: to be encoded for `place`. */
  readonly unknown: readonly string[];
  place(encoded: ReadonlyMap<string, Encoded>): PlacedValues;
}

interface Known {
  readonly version: string;
  /** undefined: the value has a row of its own. */
  readonly small: Encoded | undefined;
}

export class ChannelValues {
  /** Namespace → channel → the version seen last. */
  readonly #known = new Map<string, Map<string, Known>>();

  /** Everything a stored checkpoint has is somewhere already. */
  seen({ ns, head, blobs, inline }: StoredCheckpoint): void {
    const known = this.#of(ns);
    for (const [channel] of blobs) this.#note(known, channel, head, undefined);
    for (const [channel, [type, data]] of Object.entries(inline))
      this.#note(known, channel, head, { type, data });
  }

  /** @param changed channels with a new version here; the others are as in the parent, if there is one */
  plan(
    { ns, parentId, head }: { ns: string; parentId: string | undefined; head: Versions },
    values: Values,
    changed: object,
  ): Placement {
    const known = this.#of(ns);
    const unknown: string[] = [];
    const small = new Map<string, Encoded>();
    for (const [channel, version] of Object.entries(head.channel_versions)) {
      const before = known.get(channel);
      if (before?.version !== String(version)) {
        const wanted = parentId !== undefined || Object.hasOwn(changed, channel);
        if (wanted && Object.hasOwn(values, channel)) unknown.push(channel);
      } else if (before.small !== undefined) small.set(channel, before.small);
    }
    return {
      unknown,
      place: (encoded) => this.#place(known, head, new Map([...small, ...encoded])),
    };
  }

  #place(
    known: Map<string, Known>,
    head: Versions,
    values: ReadonlyMap<string, Encoded>,
  ): PlacedValues {
    const inline: InlineValues = {};
    const blobs: (Encoded & { channel: string; version: Version })[] = [];
    let total = 0;
    for (const [channel, { type, data }] of values) {
      const length = channel.length + type.length + data.length;
      if (length <= INLINE_LENGTH_MAX && total + length <= INLINE_TOTAL_MAX) {
        total += length;
        inline[channel] = [type, data];
        this.#note(known, channel, head, { type, data });
      } else {
        const version = head.channel_versions[channel];
        if (version === undefined) continue;
        blobs.push({ channel, version, type, data });
        this.#note(known, channel, head, undefined);
      }
    }
    return { inline, blobs };
  }

  #of(ns: string): Map<string, Known> {
    let known = this.#known.get(ns);
    if (known === undefined) {
      known = new Map<string, Known>();
      this.#known.set(ns, known);
    }
    return known;
  }

  #note(
    known: Map<string, Known>,
    channel: string,
    { channel_versions }: Versions,
    small: Encoded | undefined,
  ): void {
    known.set(channel, { version: String(channel_versions[channel]), small });
  }
}
