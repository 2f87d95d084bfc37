-- The end of a run, on its way to whoever asked to be told. Written in the run's terminal statement
-- (src/runs/finish.ts), sent by any process (src/maintenance/webhook-sender.ts). No foreign keys: a delivery
-- outlives its run and its thread. json, not jsonb, for the same reason as everywhere.

CREATE TABLE webhook_deliveries (
  delivery_id     uuid PRIMARY KEY,
  run_id          uuid NOT NULL,
  thread_id       uuid NOT NULL,
  -- absolute, or a path on the server itself
  url             text NOT NULL,
  -- '' for a path: one slow receiver must not take all the slots of a process
  host            text GENERATED ALWAYS AS (CASE WHEN url LIKE '/%' THEN '' ELSE split_part(url, '/', 3) END) STORED,
  status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'dead')),
  attempts        integer NOT NULL DEFAULT 0,
  -- raised by every claim: what a process that lost its claim reports is not taken
  claims          bigint NOT NULL DEFAULT 0,
  -- while an attempt is under way: when it counts as lost
  next_attempt_at timestamptz NOT NULL DEFAULT now(),

  -- what is sent, as it was when the run ended
  run             json NOT NULL,
  "values"        json,
  error           json,

  response_status integer,
  last_error      text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  delivered_at    timestamptz
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_run ON webhook_deliveries (run_id);
CREATE INDEX webhook_deliveries_thread ON webhook_deliveries (thread_id);
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at DESC, delivery_id);
CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (updated_at) WHERE status <> 'pending';
