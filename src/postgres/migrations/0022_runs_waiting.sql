-- How many runs wait or run is never what ANALYZE last saw: mostly none, then thousands. The planner, which believed
-- "none", looked at all that wait for each that waits. These predicates it cannot estimate, so that it counts with
-- many and takes the index whose order or key is asked for (src/postgres/active-runs.ts says them in queries).

DROP INDEX runs_one_running_per_thread, runs_ring, runs_ring_keys, runs_outside;

CREATE UNIQUE INDEX runs_one_running_per_thread ON runs (thread_id)
  WHERE CASE status WHEN 'running' THEN true ELSE false END;
-- The first of a thread's runs: one that has begun, then by time.
CREATE INDEX runs_waiting ON runs (thread_id, (attempt = 0), eligible_at, position)
  WHERE CASE status WHEN 'pending' THEN true ELSE false END;
CREATE INDEX runs_ring ON runs (ring_at, position)
  WHERE CASE status WHEN 'pending' THEN ring_at IS NOT NULL ELSE false END;
CREATE INDEX runs_ring_keys ON runs (fair_key, priority, ring_at)
  WHERE CASE status WHEN 'pending' THEN ring_at IS NOT NULL ELSE false END;
CREATE INDEX runs_outside ON runs (fair_key, due, position)
  WHERE CASE status WHEN 'pending' THEN ring_at IS NULL ELSE false END;
