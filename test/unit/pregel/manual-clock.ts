/** A clock that moves when a test says so. */
import type { Clock } from '../../../src/pregel/index.ts';

export class ManualClock implements Clock {
  #now = Date.UTC(2026, 0, 1);
  #timers: { at: number; wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  timer(ms: number, wake: () => void): () => void {
    const timer = { at: this.#now + ms, wake };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  }

  /** How far away the next timer is; undefined: there is none. */
  get nextMs(): number | undefined {
    const next = this.#timers.reduce((least, { at }) => Math.min(least, at), Infinity);
    return next === Infinity ? undefined : next - this.#now;
  }

  /** Lets whatever is ready run, then moves to the next timer and wakes it. @returns how far it moved */
  async advance(): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    const ms = this.nextMs ?? 0;
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { wake } of due) wake();
    await new Promise((resolve) => setImmediate(resolve));
    return ms;
  }
}
