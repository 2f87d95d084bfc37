/** What happened, in order, as far as it may still be asked for: a violation is shown with the history around it. */

/** Entries kept. */
const ENTRIES_MAX = 20_000;
/** Entries shown before a violation. */
const SHOWN_MAX = 60;

interface Entry {
  readonly atMs: number;
  readonly what: string;
  /** Thread or run; undefined: it concerns all, as a fault does. */
  readonly of: string | undefined;
}

export interface Violation {
  readonly what: string;
  /** The entries before it that concern the same thread, and all faults between them. */
  readonly history: readonly string[];
}

export interface Journal {
  note(what: string, of?: string): void;
  /** The first one keeps its history; the others are counted. */
  violation(what: string, of?: string): void;
  readonly violations: readonly Violation[];
}

export function createJournal(): Journal {
  const startedAt = performance.now();
  const entries: Entry[] = [];
  const violations: Violation[] = [];
  const line = ({ atMs, what, of }: Entry): string =>
    `${(atMs / 1_000).toFixed(3).padStart(9)}  ${of === undefined ? '== ' : ''}${what}`;
  const journal: Journal = {
    violations,
    note(what, of) {
      entries.push({ atMs: performance.now() - startedAt, what, of });
      if (entries.length > ENTRIES_MAX) entries.splice(0, ENTRIES_MAX / 2);
    },
    violation(what, of) {
      journal.note(`VIOLATION ${what}`, of);
      const around = entries.filter((entry) => entry.of === undefined || entry.of === of);
      violations.push({ what, history: around.slice(-SHOWN_MAX).map(line) });
    },
  };
  return journal;
}
