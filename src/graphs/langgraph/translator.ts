/** What an execution needs of whoever turns LangGraph.js's chunks into events: stream modes, or protocol v2. */
export interface RunTranslator {
  /** How to call `graph.stream`. `version` makes the library add light checkpoints, or speak protocol v2. */
  readonly streamOptions: {
    readonly streamMode: string[];
    readonly subgraphs: boolean;
    readonly version?: 'v2' | 'v3';
  };
  /** The state after the last superstep of the root graph; `undefined`: none was shown. */
  readonly lastValues: unknown;
  /** What the last `values` event of the root graph said, `{__interrupt__: […]}` included. */
  readonly lastOutput: unknown;
  /** The graph stopped at an interrupt, here or in a subgraph. */
  readonly interrupted: boolean;
  /** @param chunk `[namespace, mode, payload]` when streaming subgraphs, else `[mode, payload]` */
  chunk(chunk: unknown): void;
  /** An event of `streamEvents` v2 that is not a stream chunk of the root graph. */
  raw(event: unknown): void;
  /** The graph has stopped at a breakpoint without running: tell so. */
  breakpoint(): void;
  /** The graph has run to its end or to an interrupt. */
  finish(): Promise<void>;
  /** The graph has thrown. */
  fail(error: unknown): void;
}
