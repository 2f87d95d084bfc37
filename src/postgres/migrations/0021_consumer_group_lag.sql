-- How long the oldest event that a consumer group was not given has waited (src/consumer-groups/lag.ts). Events carry no
-- time, so what waits is told apart in two cohorts: up to rest_from it came at waiting_since or later, the rest at
-- rest_since or later. A constant delay is told as at most twice what it is, and never as less.
ALTER TABLE consumer_group_positions
  ADD COLUMN waiting_since timestamptz NOT NULL DEFAULT now(),
  -- null: all that waits came in one
  ADD COLUMN rest_from     bigint,
  ADD COLUMN rest_since    timestamptz;
ALTER TABLE consumer_group_marks ADD COLUMN marked_at timestamptz NOT NULL DEFAULT now();
