-- Schedules that make runs. Whoever finds a cron due makes its run and sets the next date in one transaction
-- (src/crons/fire.ts).

CREATE TABLE crons (
  cron_id          uuid PRIMARY KEY,
  assistant_id     uuid NOT NULL REFERENCES assistants ON DELETE CASCADE,
  -- null: every run has a thread of its own
  thread_id        uuid REFERENCES threads ON DELETE CASCADE,
  user_id          text,
  schedule         text NOT NULL,
  -- IANA name; null: UTC
  timezone         text,
  end_time         timestamptz,
  enabled          boolean NOT NULL,
  on_run_completed text CHECK (on_run_completed IN ('delete', 'keep')),
  -- the run's request, without metadata
  payload          json NOT NULL,
  -- of the cron, and of its runs
  metadata         jsonb NOT NULL,
  -- null: disabled, or past its end
  next_run_date    timestamptz,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX crons_due ON crons (next_run_date) WHERE next_run_date IS NOT NULL;
CREATE INDEX crons_created ON crons (created_at DESC, cron_id);
CREATE INDEX crons_assistant ON crons (assistant_id);
CREATE INDEX crons_thread ON crons (thread_id) WHERE thread_id IS NOT NULL;

-- One row per date that was due: the key makes each of them happen once, whatever the clocks do.
CREATE TABLE cron_ticks (
  cron_id  uuid NOT NULL REFERENCES crons ON DELETE CASCADE,
  slot     timestamptz NOT NULL,
  run_id   uuid,
  -- why there is no run
  error    text,
  fired_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cron_id, slot)
);
