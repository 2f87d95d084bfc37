-- Requests that made runs, by the key that the client gave them. Written in the transaction that makes the runs
-- (src/runs/submit-once.ts).

CREATE TABLE idempotency_keys (
  -- the thread, or none: the same key on two threads is two requests
  scope      text NOT NULL,
  key        text NOT NULL,
  body_hash  bytea NOT NULL,
  run_ids    uuid[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
