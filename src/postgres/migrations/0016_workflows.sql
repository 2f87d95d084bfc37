-- Workflow documents. A run names workflow and version, so a change of the document does not reach what is under way
-- (src/workflows/workflow.ts). An execution is a run: it has no row of its own.

CREATE TABLE workflows (
  workflow_id uuid PRIMARY KEY,
  name        text NOT NULL,
  version     integer NOT NULL DEFAULT 1,
  -- the document's, with what authorization has added: whose it is
  metadata    jsonb NOT NULL DEFAULT '{}',
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  -- deleted, but kept for executions that still run
  deleted_at  timestamptz
);
CREATE INDEX workflows_created ON workflows (created_at DESC, workflow_id) WHERE deleted_at IS NULL;
CREATE INDEX workflows_deleted ON workflows (deleted_at) WHERE deleted_at IS NOT NULL;

-- As the client sent it. Never changed.
CREATE TABLE workflow_versions (
  workflow_id uuid NOT NULL REFERENCES workflows ON DELETE CASCADE,
  version     integer NOT NULL,
  document    json NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workflow_id, version)
);

CREATE INDEX runs_workflow ON runs ((metadata ->> 'workflow_id'), created_at DESC) WHERE metadata ? 'workflow_id';
