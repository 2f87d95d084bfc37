-- Who can execute runs. A worker writes itself down with every beat of its lease thread; one that is silent
-- for longer than its lease is none. Nothing that must be right depends on it: leases are on the runs.
CREATE TABLE workers (
  worker_id  text PRIMARY KEY,
  slots      integer NOT NULL CHECK (slots > 0),
  started_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
