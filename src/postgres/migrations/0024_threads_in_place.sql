-- No index on updated_at, which every run changes: with one, each change of a thread's row wrote a new entry into all of
-- the table's indexes (no HOT update), metadata's among them. Who looks for old threads (src/runs/retention.ts) finds
-- them by created_at, which is never later.
DROP INDEX threads_hidden, threads_mortal;
CREATE INDEX threads_hidden ON threads (created_at) WHERE hidden;
CREATE INDEX threads_mortal ON threads (created_at) WHERE ttl_minutes IS NOT NULL;
