/**
 * How a Pregel application is recognised without importing the runtime, also one made by another
 * copy of this package.
 */
export const PREGEL = Symbol.for('millrace.pregel');

export const hasPregelMark = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && PREGEL in value;
