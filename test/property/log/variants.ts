/** The protocol, what was first written, and the negative controls: which rules are off in each. */
import type { Rules } from './rules.ts';

export const PROTOCOL: Rules = {
  archiveTerm: true,
  archiveDense: true,
  claimArchivesTail: true,
  claimGuard: true,
  claimChecksClean: true,
  endGuard: true,
  endRaisesTerm: true,
  endRaisesLogTerm: true,
  directGuard: true,
  checkpointTakesEvents: true,
  checkpointChecksArchive: true,
  checkpointGuard: true,
  appendFence: true,
  appendDup: true,
  appendGap: true,
  appendBase: true,
  appendClosed: true,
  appendChecksTop: true,
  openNeedsFlag: true,
  openOnlyOnce: true,
  openOnlyAtStart: true,
  claimLeavesShut: true,
  reopenFence: true,
  tailDense: true,
  tailTerm: true,
  tailFromWatermark: true,
  tailKept: true,
  reopenOnce: true,
  trimWatermark: true,
  bufferUntilArchived: true,
  bufferOutlivesCheckpoint: true,
  askWaitsForDisk: true,
  cursorTerm: true,
  readerRefusesLower: true,
  readerEndChecksTerm: true,
  readerSkipsVoid: true,
};

/**
 * Each must find a failing seed. A rule that stands alone has its own line. `claimLeavesShut` covers what
 * `appendBase` does (and more), as `appendChecksTop` does `tailDense`, and `endRaisesLogTerm` does
 * `directGuard`: the lesser of each pair turns nothing red while the other holds, so both go.
 */
const CONTROLS: readonly (readonly (keyof Rules)[])[] = [
  ['archiveTerm'],
  ['archiveDense'],
  ['claimArchivesTail', 'claimLeavesShut'],
  ['claimGuard'],
  ['claimChecksClean'],
  ['endGuard'],
  ['endRaisesTerm'],
  ['endRaisesLogTerm'],
  ['directGuard', 'endRaisesLogTerm'],
  ['checkpointTakesEvents', 'checkpointChecksArchive'],
  ['checkpointChecksArchive'],
  ['checkpointGuard'],
  ['appendFence'],
  ['appendDup'],
  ['appendGap'],
  ['appendChecksTop'],
  ['openNeedsFlag'],
  ['openOnlyOnce'],
  ['openOnlyAtStart'],
  ['reopenFence'],
  ['tailDense', 'appendChecksTop'],
  ['tailTerm'],
  ['tailFromWatermark'],
  ['tailKept'],
  ['reopenOnce'],
  ['trimWatermark'],
  ['bufferUntilArchived'],
  ['bufferOutlivesCheckpoint'],
  ['askWaitsForDisk'],
  ['cursorTerm'],
  ['readerRefusesLower'],
  ['readerEndChecksTerm'],
  ['readerSkipsVoid'],
];
/** ARCHITECTURE.md's rules 1–6 before this model: it found these missing. */
const FIRST_WRITTEN: readonly (keyof Rules)[] = [
  'appendChecksTop',
  'claimLeavesShut',
  'endRaisesLogTerm',
  'readerEndChecksTerm',
  'reopenOnce',
  'tailFromWatermark',
];
/** Alone, off, no seed fails: a second guard of a hole, or (`appendClosed`) there for readers' comfort. */
const SPARE: readonly (keyof Rules)[] = ['appendBase', 'appendClosed', 'directGuard', 'tailDense'];

export interface Variant {
  readonly name: string;
  readonly rules: Rules;
  /** Where to begin the search, for a hole that few seeds find. */
  readonly firstSeed?: number;
  /** See Options. */
  readonly checkpoints?: boolean;
}
function without(off: readonly (keyof Rules)[], name = `without ${off.join(' and ')}`): Variant {
  return { name, rules: { ...PROTOCOL, ...Object.fromEntries(off.map((rule) => [rule, false])) } };
}
export const controls: readonly Variant[] = [
  without(FIRST_WRITTEN, 'as first written'),
  ...CONTROLS.map((off) => without(off)),
  { ...without(['appendBase', 'claimLeavesShut']), firstSeed: 6_400 },
  { ...without(['claimLeavesShut']), firstSeed: 287_600, checkpoints: false }, // 4 seeds of the first million
];
export const spares: readonly Variant[] = SPARE.map((rule) => without([rule]));
