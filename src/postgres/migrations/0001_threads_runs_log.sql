-- Threads, runs and the log's durable part. The protocol is described in ARCHITECTURE.md, "The log".
-- json, not jsonb, where clients' values go: jsonb refuses \u0000 and lone surrogates.

CREATE TABLE assistants (
  assistant_id uuid PRIMARY KEY,
  graph_id     text NOT NULL,
  name         text NOT NULL,
  description  text,
  version      integer NOT NULL DEFAULT 1,
  config       json NOT NULL DEFAULT '{}',
  context      json NOT NULL DEFAULT '{}',
  metadata     jsonb NOT NULL DEFAULT '{}',
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE threads (
  thread_id    uuid PRIMARY KEY,
  status       text NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'busy', 'interrupted', 'error')),
  metadata     jsonb NOT NULL DEFAULT '{}',
  config       json NOT NULL DEFAULT '{}',
  "values"     json,
  interrupts   json NOT NULL DEFAULT '{}',
  error        json,
  -- a stateless run's own thread: not listed
  hidden       boolean NOT NULL DEFAULT false,
  -- runs pending or running; status is busy while there are any
  active_runs  integer NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now(),

  -- The fence: raised by every claim, hand-over and end. A write that carries a lower term is refused.
  term         bigint NOT NULL DEFAULT 0,
  -- The newest term whose start is recorded in terms: the archive takes rows of this term only.
  log_term     bigint NOT NULL DEFAULT 0,
  -- Events 1..archived_seq are in the archive, with no hole.
  archived_seq bigint NOT NULL DEFAULT 0,
  -- The last term ended properly: no event exists above archived_seq, here or in Redis.
  log_clean    boolean NOT NULL DEFAULT true
) WITH (fillfactor = 60);
CREATE INDEX threads_created ON threads (created_at DESC, thread_id) WHERE NOT hidden;
CREATE INDEX threads_hidden ON threads (updated_at) WHERE hidden;
CREATE INDEX threads_metadata ON threads USING gin (metadata jsonb_path_ops);

-- (term → run, attempt, first seq). A cursor (seq, term) is valid when seq < every start of a later term.
CREATE TABLE terms (
  thread_id uuid NOT NULL,
  term      bigint NOT NULL,
  start_seq bigint NOT NULL,
  run_id    uuid NOT NULL,
  attempt   integer NOT NULL,
  PRIMARY KEY (thread_id, term)
);

CREATE TABLE runs (
  run_id              uuid PRIMARY KEY,
  thread_id           uuid NOT NULL REFERENCES threads ON DELETE CASCADE,
  assistant_id        uuid NOT NULL,
  status              text NOT NULL CHECK (status IN ('pending', 'running', 'success', 'error', 'timeout', 'interrupted')),
  metadata            jsonb NOT NULL DEFAULT '{}',
  kwargs              json NOT NULL,
  multitask_strategy  text NOT NULL CHECK (multitask_strategy IN ('reject', 'enqueue', 'interrupt', 'rollback')),
  created_at          timestamptz NOT NULL,
  updated_at          timestamptz NOT NULL,
  -- not before this time; orders the runs of a thread together with position
  eligible_at         timestamptz NOT NULL,
  position            bigint GENERATED ALWAYS AS IDENTITY,

  -- claims so far; shown to clients, part of event ids and of queue job ids
  attempt             integer NOT NULL DEFAULT 0,
  -- attempts that were lost or failed; at the limit the run ends as error (a hand-over is none)
  failures            integer NOT NULL DEFAULT 0,
  term                bigint,
  worker_id           text,
  lease_expires_at    timestamptz,
  started_at          timestamptz,
  ended_at            timestamptz,
  cancel_action       text CHECK (cancel_action IN ('interrupt', 'rollback')),
  cancel_requested_at timestamptz,

  -- its range of the thread's log; last_seq is known when it ended
  first_seq           bigint,
  last_seq            bigint,
  error               json,
  -- what wait answers, when it is not the thread's values
  output              json
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX runs_one_running_per_thread ON runs (thread_id) WHERE status = 'running';
CREATE INDEX runs_pending ON runs (eligible_at, position) WHERE status = 'pending';
CREATE INDEX runs_leases ON runs (lease_expires_at) WHERE status = 'running';
CREATE INDEX runs_cancels ON runs (cancel_requested_at) WHERE status = 'running' AND cancel_requested_at IS NOT NULL;
CREATE INDEX runs_thread ON runs (thread_id, eligible_at, position);

-- The archive. The run of an event is the run of its term.
CREATE TABLE events (
  thread_id uuid NOT NULL,
  seq       bigint NOT NULL,
  term      bigint NOT NULL,
  type      text NOT NULL,
  data      text NOT NULL,
  PRIMARY KEY (thread_id, seq)
);

-- Ranges of a log whose run was rolled back: readers pass over them, and they are no hole.
CREATE TABLE voids (
  thread_id uuid NOT NULL,
  first_seq bigint NOT NULL,
  last_seq  bigint NOT NULL,
  PRIMARY KEY (thread_id, first_seq)
);
