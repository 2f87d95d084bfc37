/**
 * The documented names, all of them, in one table: what tools beside Millrace may rely on in Redis. Two documents
 * name them with the prefix `aegra` (a preset); `run:{run_id}:…` has none. docs/contract.md lists them with their tests.
 * Channels and keys of one run share no script, so they need no cluster slot in common.
 */
export const CONTRACT_PRESETS = {
  /** Keys begin like all others of the deployment: KEY_PREFIX. */
  millrace: { prefix: undefined, runPrefix: 'run' },
  aegra: { prefix: 'aegra', runPrefix: 'run' },
} as const;
export type ContractPreset = keyof typeof CONTRACT_PRESETS;

export interface ContractNames {
  /** List: one sentinel for each run that waits for a worker. LLEN is the queue's length. */
  readonly wakeList: string;
  /** String with a TTL: the worker that executes the run. */
  readonly heartbeatPrefix: string;
  /** String that expires: number of the attempt. */
  readonly attemptPrefix: string;
  /** String that expires: somebody asks the run to stop. */
  readonly cancelPrefix: string;
  /** PubSub: each event of a run as it happens. */
  events(runId: string): string;
  /** PubSub: requests to stop a run; the documents name two channels. */
  cancelChannels(runId: string): readonly string[];
  readonly cancelPatterns: readonly string[];
  /** @returns undefined when the channel is none for cancels */
  runOfCancel(channel: string): string | undefined;
}

export interface ContractOptions {
  readonly preset: ContractPreset;
  /** Of the deployment's own keys. */
  readonly keyPrefix: string;
  /** In place of the preset's. */
  readonly prefix?: string | undefined;
  readonly runPrefix?: string | undefined;
}

export function contractNames(options: ContractOptions): ContractNames {
  const preset = CONTRACT_PRESETS[options.preset];
  const prefix = options.prefix ?? preset.prefix ?? options.keyPrefix;
  const runPrefix = options.runPrefix ?? preset.runPrefix;
  const ofRun = (channel: string, begin: string, end: string): string | undefined =>
    channel.startsWith(begin) && channel.endsWith(end) && channel.length > begin.length + end.length
      ? channel.slice(begin.length, end === '' ? undefined : -end.length)
      : undefined;
  return {
    wakeList: `${prefix}:tasks`,
    heartbeatPrefix: `${prefix}:heartbeat:`,
    attemptPrefix: `${prefix}:attempt:`,
    cancelPrefix: `${prefix}:cancel:`,
    events: (runId) => `${runPrefix}:${runId}:events`,
    cancelChannels: (runId) => [`${runPrefix}:${runId}:cancel`, `${prefix}:cancel:${runId}`],
    cancelPatterns: [`${runPrefix}:*:cancel`, `${prefix}:cancel:*`],
    runOfCancel: (channel) =>
      ofRun(channel, `${runPrefix}:`, ':cancel') ?? ofRun(channel, `${prefix}:cancel:`, ''),
  };
}
