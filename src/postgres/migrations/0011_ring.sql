-- The ring: the pending runs that may begin now, in the order in which they should (src/runs/ring.ts). A key (a
-- tenant, an assistant) has only a few runs in it at a time; the others wait outside, in an order of their own.

ALTER TABLE runs
  ADD COLUMN priority smallint NOT NULL DEFAULT 0,
  -- whose run it is: keys take turns
  ADD COLUMN fair_key text NOT NULL DEFAULT '',
  -- order among the runs of a key outside the ring: eligible_at, earlier by priority
  ADD COLUMN due timestamptz NOT NULL DEFAULT now(),
  -- place in the ring; NULL: outside. Kept when claimed, so that a lost run comes back to its old place.
  ADD COLUMN ring_at timestamptz,
  -- its key has a limit: it enters the ring under the key's lock only
  ADD COLUMN held boolean NOT NULL DEFAULT false;
UPDATE runs SET due = eligible_at WHERE status = 'pending';

CREATE INDEX runs_ring ON runs (ring_at, position) WHERE status = 'pending' AND ring_at IS NOT NULL;
CREATE INDEX runs_ring_keys ON runs (fair_key, priority, ring_at) WHERE status = 'pending' AND ring_at IS NOT NULL;
CREATE INDEX runs_outside ON runs (fair_key, due, position) WHERE status = 'pending' AND ring_at IS NULL;
