/** What the HTTP side needs from the composition root. */
import type { AuthGate } from '../auth/gate.ts';
import type { AssistantDefaults } from '../assistants/assistant.ts';
import type { StreamChannels } from '../compat/stream-channels.ts';
import type { ReaderDeps } from '../events/reader.ts';
import type { RunEnds } from '../events/ends.ts';
import type { HttpSpec, UiSpec } from '../graphs/langgraph-json.ts';
import type { GraphRegistry } from '../graphs/port.ts';
import type { Pool } from '../postgres/pool.ts';
import type { QueueBoard } from '../queue/board.ts';
import type { SubmitDeps } from '../runs/submit.ts';
import type { ItemStore } from '../store/items.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Documents } from '../workflows/workflow.ts';

/** The part of the configuration that HTTP needs, under the names of config.ts. */
export interface ServerConfig {
  readonly HOST: string;
  /** 0: any free port. */
  readonly PORT: number;
  readonly BODY_BYTES_MAX: number;
  /** POST /internal/truncate is served. */
  readonly development: boolean;
  readonly langSmith: object | undefined;
  /** `false`: nothing is traced. */
  readonly LANGSMITH_TRACING?: string | undefined;
  /** Configuration of default assistants, by graph. */
  readonly LANGGRAPH_CONFIG: AssistantDefaults;
  /** Who may see /ops; see ops/access.ts. */
  readonly OPS_USER?: string | undefined;
  readonly OPS_PASSWORD?: string | undefined;
  readonly OPS_READ_ONLY: boolean;
  /** Bundles that were built before; see ui-bundles.ts. */
  readonly UI_BUNDLES_DIR?: string | undefined;
  /** What the wanted workers are kept within. */
  readonly WORKERS_MIN: number;
  readonly WORKERS_MAX: number;
  /** Slots of a worker, when none is there to tell. */
  readonly N_JOBS_PER_WORKER: number;
  /** Not ready when a run waits for longer; see routes/ready.ts. */
  readonly READY_QUEUE_AGE_MAX_SECS: number;
  readonly READY_WORKERS_MIN: number;
}

export interface ServerDeps {
  readonly config: ServerConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly pool: Pool;
  readonly graphs: GraphRegistry;
  readonly store: ItemStore;
  readonly documents: Documents;
  /** langgraph.json, `http`. */
  readonly http?: HttpSpec | undefined;
  /** langgraph.json, `ui`. */
  readonly ui?: UiSpec | undefined;
  /** undefined: everybody may do everything. */
  readonly auth?: AuthGate | undefined;
  readonly submit: SubmitDeps;
  /** undefined: the run queue is none that Bull Board can show. */
  readonly board?: QueueBoard | undefined;
  readonly ends: RunEnds;
  readonly reader: ReaderDeps;
  /** undefined: streams do not show in PUBSUB CHANNELS. */
  readonly streamChannels?: StreamChannels | undefined;
  /** Told where this server listens, for webhooks that are paths on it. */
  readonly webhooks: { listening(url: string): void };
}
