-- What a thread's status is without its runs that have not begun: a run that is taken back before, or as a whole, leaves
-- a thread that waits for input waiting. Kept where a thread at rest gets a run, and where a run ends.

ALTER TABLE threads ADD COLUMN status_at_rest text NOT NULL DEFAULT 'idle';
