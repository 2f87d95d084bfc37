/** Something that runs until it is stopped. Both calls are idempotent; `stop` waits for work in hand. */
export interface Service {
  start(): Promise<void>;
  stop(): Promise<void>;
}
