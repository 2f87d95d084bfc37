-- Threads that end by themselves, this long after they were last used.

ALTER TABLE threads ADD COLUMN ttl_minutes double precision;
CREATE INDEX threads_mortal ON threads (updated_at) WHERE ttl_minutes IS NOT NULL;
