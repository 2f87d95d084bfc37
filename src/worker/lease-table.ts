/**
 * The runs a worker has in hand, in memory that its main thread and its lease thread share. A run costs no message:
 * one that is over in a few milliseconds is never noticed by the other thread.
 *
 * The main thread alone writes. A slot's count is odd while it holds a run and changes at every turn, so a reader
 * that finds the same odd count before and after has read one run's id and term.
 */

/** count int32, attempt int32, term int64, run id 16 bytes */
const SLOT_BYTES = 32;
const ID_OFFSET = 16;

export interface HeldRun {
  readonly term: number;
  readonly attempt: number;
}

export interface LeaseTable {
  /** @returns the slot, for `drop` @throws when more runs are held than the table has slots */
  hold(run: { runId: string; term: number; attempt: number }): number;
  drop(slot: number): void;
  /** By run id. */
  held(): Map<string, HeldRun>;
}

export const createLeaseMemory = (slots: number): SharedArrayBuffer =>
  new SharedArrayBuffer(slots * SLOT_BYTES);

export function openLeaseTable(memory: SharedArrayBuffer): LeaseTable {
  const slots = memory.byteLength / SLOT_BYTES;
  const counts = new Int32Array(memory);
  const terms = new BigInt64Array(memory);
  const bytes = Buffer.from(memory);
  const free = Array.from({ length: slots }, (_, slot) => slots - 1 - slot);

  const count = (slot: number): number => Atomics.load(counts, (slot * SLOT_BYTES) / 4);
  const turn = (slot: number): void => {
    Atomics.add(counts, (slot * SLOT_BYTES) / 4, 1);
  };

  return {
    hold({ runId, term, attempt }) {
      const slot = free.pop();
      if (slot === undefined) throw new Error(`more than ${slots} runs are held`);
      Atomics.store(counts, (slot * SLOT_BYTES) / 4 + 1, attempt);
      Atomics.store(terms, (slot * SLOT_BYTES) / 8 + 1, BigInt(term));
      bytes.write(runId.replaceAll('-', ''), slot * SLOT_BYTES + ID_OFFSET, 'hex');
      turn(slot);
      return slot;
    },
    drop(slot) {
      turn(slot);
      free.push(slot);
    },
    held() {
      const runs = new Map<string, HeldRun>();
      for (let slot = 0; slot < slots; slot++) {
        const before = count(slot);
        if (before % 2 === 0) continue;
        const term = Number(Atomics.load(terms, (slot * SLOT_BYTES) / 8 + 1));
        const attempt = Atomics.load(counts, (slot * SLOT_BYTES) / 4 + 1);
        const start = slot * SLOT_BYTES + ID_OFFSET;
        const runId = uuidOf(bytes.toString('hex', start, start + 16));
        // Given up, and perhaps given to another, while it was read: the next look finds that one.
        if (count(slot) === before) runs.set(runId, { term, attempt });
      }
      return runs;
    },
  };
}

const uuidOf = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
