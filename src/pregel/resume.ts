/**
 * Which answer an `interrupt()` gets, exactly once, also when a worker dies in between.
 *
 * A run's resume value is either one answer, for the first interrupt that asks, or a map of
 * answers by interrupt id. Taking an answer is noted beside the root checkpoint before the task
 * can go on, so that a second attempt at the same run gives it to the same question again and to
 * no other.
 */
import { isResumeMap } from './checkpoint-id.ts';

/** `task` took the run's answer for its question number `at`. */
export interface TakenAnswer {
  readonly runId: string;
  readonly task: string;
  readonly at: number;
}

export class Resume {
  readonly #runId: string | undefined;
  readonly #note: (taken: TakenAnswer) => void;
  #plain: { readonly value: unknown } | undefined;
  #map: Map<string, unknown> | undefined;
  /** Task → question, from an earlier attempt at this run. */
  #taken: Map<string, number> | undefined;

  constructor(runId: string | undefined, note: (taken: TakenAnswer) => void) {
    this.#runId = runId;
    this.#note = note;
  }

  /** @param taken notes found beside the checkpoint */
  offer(value: unknown, taken: readonly TakenAnswer[]): void {
    if (isResumeMap(value)) this.#map = new Map(Object.entries(value));
    else this.#plain = { value };
    for (const note of taken) {
      if (note.runId === this.#runId) (this.#taken ??= new Map()).set(note.task, note.at);
    }
  }

  /** The step that was interrupted is over: an answer nobody asked for is no answer to later questions. */
  close(): void {
    this.#plain = undefined;
    this.#map = undefined;
  }

  /** @param at how many answers the task has had before */
  take(taskId: string, interruptId: string, at: number): { readonly value: unknown } | undefined {
    if (this.#map !== undefined) {
      if (!this.#map.has(interruptId)) return undefined;
      const reserved = this.#taken?.get(taskId);
      if (reserved !== undefined && reserved !== at) return undefined;
      const value = this.#map.get(interruptId);
      this.#map.delete(interruptId);
      this.#notice(taskId, at);
      return { value };
    }
    if (this.#plain === undefined) return undefined;
    if (this.#taken !== undefined && this.#taken.get(taskId) !== at) return undefined;
    const answer = this.#plain;
    this.#plain = undefined;
    this.#notice(taskId, at);
    return answer;
  }

  #notice(task: string, at: number): void {
    if (this.#runId !== undefined) this.#note({ runId: this.#runId, task, at });
  }
}
