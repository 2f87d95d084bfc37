/**
 * Our store as LangGraph.js's BaseStore, handed to graphs as `config.store`.
 *
 * LangGraph.js wraps every store it is given, for each run, in an AsyncBatchedStore that polls its queue with
 * setTimeout(0) as long as the run lasts: a thousand wake-ups a second for a run that waits for a model, and
 * up to a millisecond more at its end. Ours gathers operations by itself, so the wrapper is told to pass them on
 * (for our store only; others keep the library's behaviour).
 */
import { AsyncBatchedStore, BaseStore } from '@langchain/langgraph';
import type {
  GetOperation,
  ListNamespacesOperation,
  Operation,
  OperationResults,
  PutOperation,
  SearchOperation,
} from '@langchain/langgraph-checkpoint';
import { toPlain } from '../serialise.ts';
import type { ItemStore } from '../../store/items.ts';

interface Waiting {
  readonly operation: Operation;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class LangGraphStore extends BaseStore {
  readonly #items: ItemStore;
  #waiting: Waiting[] = [];

  constructor(items: ItemStore) {
    super();
    this.#items = items;
  }

  /** Operations of the same moment become one batch. */
  enqueue(operation: Operation): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0)
        setImmediate(() => {
          void this.#send();
        });
      this.#waiting.push({ operation, resolve, reject });
    });
  }

  async #send(): Promise<void> {
    const sent = this.#waiting;
    this.#waiting = [];
    try {
      const results: unknown[] = await this.batch(sent.map(({ operation }) => operation));
      sent.forEach(({ resolve }, index) => {
        resolve(results[index]);
      });
    } catch (error) {
      for (const { reject } of sent) reject(error);
    }
  }

  /** Reads see the store as it was before the batch; of several puts of one key the last counts. */
  override async batch<Op extends Operation[]>(operations: Op): Promise<OperationResults<Op>> {
    const results: unknown[] = operations.map(() => undefined);
    const at = <T>(test: (operation: Operation) => boolean): [number, T][] =>
      operations.flatMap((operation, index) => (test(operation) ? [[index, operation as T]] : []));
    const gets = at<GetOperation>(isGet);
    const found = await this.#items.get(gets.map(([, key]) => key));
    for (const [n, [index]] of gets.entries()) results[index] = found[n];
    for (const [index, operation] of at<SearchOperation>(isSearch))
      results[index] = await this.#items.search(operation);
    for (const [index, operation] of at<ListNamespacesOperation>(isList))
      results[index] = await this.#items.listNamespaces(namespacesOf(operation));
    const puts = new Map(
      at<PutOperation>(isPut).map(([, put]) => [JSON.stringify([put.namespace, put.key]), put]),
    );
    await this.#items.put(
      [...puts.values()].filter(hasValue).map(({ namespace, key, value, index }) => ({
        namespace,
        key,
        value: toPlain(value) as Record<string, unknown>,
        index,
      })),
    );
    await this.#items.delete([...puts.values()].filter((put) => !hasValue(put)));
    return results as OperationResults<Op>;
  }

  /** Shown where a config is serialised. */
  toJSON(): string {
    return '[LangGraphStore]';
  }
}

const isPut = (operation: Operation): boolean => 'value' in operation;
const isGet = (operation: Operation): boolean => 'key' in operation && !isPut(operation);
const isSearch = (operation: Operation): boolean => 'namespacePrefix' in operation;
const isList = (operation: Operation): boolean =>
  !isPut(operation) && !isGet(operation) && !isSearch(operation);

const hasValue = (put: PutOperation): put is PutOperation & { value: Record<string, unknown> } =>
  put.value !== null;

function namespacesOf(
  operation: ListNamespacesOperation,
): Parameters<ItemStore['listNamespaces']>[0] {
  const conditions = operation.matchConditions ?? [];
  return {
    prefix: conditions.find(({ matchType }) => matchType === 'prefix')?.path,
    suffix: conditions.find(({ matchType }) => matchType === 'suffix')?.path,
    maxDepth: operation.maxDepth,
    limit: operation.limit,
    offset: operation.offset,
  };
}

/** The members of the wrapper that we lean on; private in its types. */
interface Wrapper {
  store: BaseStore;
  running: boolean;
  enqueueOperation(operation: Operation): Promise<unknown>;
}

let passing = false;

/** Idempotent. Called when the first LangGraph.js graph is loaded. */
export function passThroughOurStore(): void {
  if (passing) return;
  passing = true;

  const { start } = AsyncBatchedStore.prototype;
  AsyncBatchedStore.prototype.start = function (this: AsyncBatchedStore): void {
    const wrapper = this as unknown as Wrapper;
    const { store } = wrapper;
    if (!(store instanceof LangGraphStore)) {
      start.call(this);
      return;
    }
    wrapper.running = true;
    wrapper.enqueueOperation = (operation) => store.enqueue(operation);
  };
}
