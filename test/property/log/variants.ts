/** The protocol, and for every rule the variant without it. */
import type { Rules } from './rules.ts';

export const PROTOCOL: Rules = {
  archiveTerm: true,
  archiveDense: true,
  claimArchivesTail: true,
  claimGuard: true,
  claimChecksClean: true,
  endGuard: true,
  endRaisesTerm: true,
  directGuard: true,
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
  cursorTerm: true,
  readerRefusesLower: true,
  readerEndChecksTerm: true,
  readerSkipsVoid: true,
};
/** ARCHITECTURE.md, rules 1–6, before this model. */
export const AS_FIRST_WRITTEN: Rules = {
  ...PROTOCOL,
  appendChecksTop: false,
  claimLeavesShut: false,
  tailFromWatermark: false,
  reopenOnce: false,
};
