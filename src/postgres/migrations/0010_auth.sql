-- Who asked for a run, and who made a cron: what `authenticate` said of them then. Apart from kwargs, because it may
-- hold credentials and kwargs are shown to clients and sent to webhooks. Null: no auth was configured.

ALTER TABLE runs ADD COLUMN auth json;
ALTER TABLE crons ADD COLUMN auth json;
CREATE INDEX assistants_metadata ON assistants USING gin (metadata jsonb_path_ops);
CREATE INDEX crons_metadata ON crons USING gin (metadata jsonb_path_ops);
