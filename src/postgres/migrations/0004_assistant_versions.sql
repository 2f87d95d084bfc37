-- Every state that an assistant has had; the assistant's row is a copy of the one in use.

CREATE TABLE assistant_versions (
  assistant_id uuid NOT NULL REFERENCES assistants ON DELETE CASCADE,
  version      integer NOT NULL,
  graph_id     text NOT NULL,
  name         text NOT NULL,
  description  text,
  config       json NOT NULL,
  context      json NOT NULL,
  metadata     jsonb NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (assistant_id, version)
);
CREATE INDEX assistants_created ON assistants (created_at DESC, assistant_id);
