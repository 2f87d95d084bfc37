-- States of threads, one row per superstep and namespace. Written only under the thread's term
-- (src/checkpoints/storage.ts). No foreign key to threads: its check costs a query per row, and the fence
-- already refuses a thread that is gone.

CREATE TABLE checkpoints (
  thread_id     uuid NOT NULL,
  checkpoint_ns text COLLATE "C" NOT NULL,
  checkpoint_id text COLLATE "C" NOT NULL,
  parent_id     text COLLATE "C",
  run_id        uuid,
  -- Order of writing. Ids are made from a worker's clock, and the next worker's clock may be behind.
  position      bigint GENERATED ALWAYS AS IDENTITY,
  -- {v, ts, channel_versions, versions_seen}; the values are in checkpoint_blobs
  head          json NOT NULL,
  metadata      jsonb NOT NULL,
  PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE INDEX checkpoints_latest ON checkpoints (thread_id, checkpoint_ns, position);

-- One version of one channel's value, shared by all checkpoints that still have it. Versions are never
-- given out twice in a thread (LangGraphSaver.getNextVersion), so a fork cannot meet another's value.
CREATE TABLE checkpoint_blobs (
  thread_id     uuid NOT NULL,
  checkpoint_ns text COLLATE "C" NOT NULL,
  channel       text COLLATE "C" NOT NULL,
  version       text COLLATE "C" NOT NULL,
  run_id        uuid,
  type          text NOT NULL,
  data          text NOT NULL,
  PRIMARY KEY (thread_id, checkpoint_ns, channel, version)
);

-- What tasks wrote on top of a checkpoint. The run is part of the key, so that rolling back a run that
-- resumed an interrupted task brings back what the earlier run had left there. No run: the nil id.
CREATE TABLE checkpoint_writes (
  thread_id     uuid NOT NULL,
  checkpoint_ns text COLLATE "C" NOT NULL,
  checkpoint_id text COLLATE "C" NOT NULL,
  task_id       text COLLATE "C" NOT NULL,
  idx           integer NOT NULL,
  run_id        uuid NOT NULL,
  position      bigint GENERATED ALWAYS AS IDENTITY,
  channel       text NOT NULL,
  type          text NOT NULL,
  data          text NOT NULL,
  PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, run_id)
);
