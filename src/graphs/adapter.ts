/** The seam between the registry and the kinds of graphs it can hold. */
import type { CheckpointStorage } from '../checkpoints/storage.ts';
import { AppError } from '../errors.ts';
import type { ItemStore } from '../store/items.ts';
import type { Graph } from './port.ts';

/** What graphs are given to keep their state in. */
export interface GraphDependencies {
  readonly checkpoints: CheckpointStorage;
  readonly store: ItemStore;
  /** There is a LangSmith, for runs that ask to be traced. */
  readonly langSmith?: boolean;
  /** How long a graph's source may be looked at for its schemas, and who is told when that fails. */
  readonly schemas?: {
    readonly timeoutMs: number;
    onTrouble(what: string, error: unknown): void;
  };
}

/** Where a graph is written, when it is in a file. */
export interface GraphSource {
  readonly file: string;
  readonly exportName: string;
}

export interface GraphAdapter {
  /** By shape or symbol only: must not import what the graph is made of. */
  recognises(value: unknown): boolean;
  wrap(
    graphId: string,
    value: unknown,
    dependencies: GraphDependencies,
    source?: GraphSource,
  ): Graph | Promise<Graph>;
}

/** A graph, or the file that names it, that cannot be used as it is. Says which file and key. */
export class GraphInvalidError extends AppError {
  readonly code = 'graph_invalid';
}
export class GraphNotFoundError extends AppError {
  readonly code = 'graph_not_found';
}
