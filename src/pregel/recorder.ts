/**
 * What a run leaves behind: its output, its checkpoints, and the events that show them. The loop
 * tells it when; it knows what changed since the last time.
 */
import { newCheckpointId } from './checkpoint-id.ts';
import type { CheckpointConfig, CheckpointMetadata, CheckpointPendingWrite } from './checkpoint.ts';
import { checkpointEvent, taskView } from './events.ts';
import { ERROR } from './reserved.ts';
import { interruptsOf, type RunHost } from './run-host.ts';
import type { GraphSpec, RunOptions } from './run-options.ts';
import { toCheckpoint } from './snapshot.ts';
import type { Task } from './task.ts';

export class Recorder {
  readonly #host: RunHost;
  readonly #spec: GraphSpec;
  readonly #options: RunOptions;
  /** Somebody sees each output, or an output channel lasts one step only. */
  readonly #readEachStep: boolean;
  #metadata: CheckpointMetadata | undefined;
  #parentConfig: CheckpointConfig | undefined;
  #savedVersions: readonly number[];
  #output: unknown = undefined;
  #outputKnown = false;
  #show = false;
  #shown = false;

  constructor(host: RunHost) {
    this.#host = host;
    this.#spec = host.spec;
    this.#options = host.options;
    this.#savedVersions = [...host.state.versions];
    this.#readEachStep = host.emitter.values || this.#spec.transientOutput;
  }

  /** An output channel was written to in this run, or the run went on from a state. */
  get shown(): boolean {
    return this.#shown;
  }

  /** After an update: did it change what the run shows? */
  noteOutput(): void {
    this.#show = false;
    for (const index of this.#host.state.touched) {
      if (this.#spec.outputs.has(index)) this.#show = true;
    }
    if (!this.#show) return;
    this.#shown = true;
    if (this.#readEachStep) {
      this.#output = this.#host.state.select(this.#spec.output);
      this.#outputKnown = true;
    }
  }
  showOutput(): void {
    if (this.#show && this.#host.emitter.values) this.#host.emitter.emit('values', this.#output);
  }

  /** Shows the state a run goes on from. */
  showCurrent(): void {
    this.#shown = true;
    if (!this.#readEachStep) return;
    this.#output = this.#host.state.select(this.#spec.output);
    this.#outputKnown = true;
    this.#show = true;
    this.showOutput();
  }

  /** What the output channels show now, or showed last. */
  latest(): unknown {
    return this.#readEachStep && this.#outputKnown
      ? this.#output
      : this.#host.state.select(this.#spec.output);
  }

  /** Makes the checkpoint of the state as it is, and begins the next step. */
  checkpoint(source: CheckpointMetadata['source']): undefined | Promise<void> {
    const host = this.#host;
    const { persister, state, clock } = host;
    if (persister === undefined) {
      if (host.emitter.checkpoints) this.#describe(source);
      host.nextStep(undefined);
      return undefined;
    }
    const previous = host.checkpointId;
    const id = newCheckpointId(clock, previous);
    const checkpoint = toCheckpoint(state, id, new Date(clock.now()).toISOString());
    this.#parentConfig = previous === undefined ? undefined : this.#configOf(previous);
    const metadata = this.#describe(source);
    const changed: Record<string, number> = {};
    const { versions, topology } = state;
    for (let index = 0; index < versions.length; index += 1) {
      if (versions[index] === this.#savedVersions[index]) continue;
      changed[topology.channelNames[index]!] = versions[index]!;
    }
    this.#savedVersions = versions.slice();
    host.nextStep(id);
    return persister.put(checkpoint, metadata, changed);
  }

  #describe(source: CheckpointMetadata['source']): CheckpointMetadata {
    const { config, runId, parent } = this.#options;
    this.#metadata = {
      ...config.metadata,
      ...(runId === undefined ? {} : { run_id: runId }),
      source,
      step: this.#host.step,
      parents: { ...parent?.parents },
    };
    return this.#metadata;
  }

  #configOf(checkpointId: string | undefined): CheckpointConfig {
    return {
      configurable: {
        thread_id: this.#options.threadId,
        checkpoint_ns: this.#options.ns,
        ...(checkpointId === undefined ? {} : { checkpoint_id: checkpointId }),
      },
    };
  }

  /** What a resumed run says of the checkpoint it starts from. */
  loaded(metadata: CheckpointMetadata, parent: CheckpointConfig | undefined): void {
    this.#metadata = metadata;
    this.#parentConfig = parent;
  }

  showTasks(tasks: readonly Task[]): void {
    const host = this.#host;
    for (const task of tasks) {
      if (task.plan.actor.hidden === true || task.status === 'done') continue;
      host.emitter.taskStart(task, host.taskId(task), host.triggersOf(task), host.step);
    }
  }

  showCheckpoint(tasks: readonly Task[], pending: readonly CheckpointPendingWrite[]): void {
    const host = this.#host;
    const views = tasks.map((task) => {
      const id = host.taskId(task);
      const view = taskView(
        task,
        id,
        this.#spec.streamed,
        task.plan.actor.subgraph === undefined
          ? undefined
          : { configurable: { thread_id: host.threadId, checkpoint_ns: host.namespaceOf(task) } },
      );
      const error = pending.find(([owner, channel]) => owner === id && channel === ERROR)?.[2];
      return {
        ...view,
        interrupts: interruptsOf(pending, id),
        ...(error === undefined ? {} : { error }),
      };
    });
    host.emitter.checkpoint(
      checkpointEvent(
        this.#configOf(host.persister === undefined ? undefined : host.checkpointId),
        host.state.select(this.#spec.streamed),
        this.#metadata!,
        views,
        this.#parentConfig,
      ),
      host.step - 1,
    );
  }
}
