-- Consumer groups: every archived event, delivered at least once and in the order of its thread, to a webhook or to a
-- function of the project (src/consumer-groups, ARCHITECTURE.md "Consumer groups").

CREATE TABLE consumer_groups (
  group_id     uuid PRIMARY KEY,
  name         text NOT NULL UNIQUE,
  -- null: a function of the project
  url          text,
  source       text NOT NULL CHECK (source IN ('api', 'project')),
  thread_id    uuid,
  assistant_id uuid,
  event_types  text[],
  -- what its maker may see: only threads whose metadata contain this
  visible      jsonb NOT NULL DEFAULT '{}',
  from_start   boolean NOT NULL DEFAULT false,
  -- of one from the start: threads up to this id have a position; null: all have
  seeded_to    uuid,
  batch_max    integer NOT NULL CHECK (batch_max > 0),
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Where a group is in a thread's log. Something waits while archived_seq > seq.
CREATE TABLE consumer_group_positions (
  group_id        uuid NOT NULL REFERENCES consumer_groups ON DELETE CASCADE,
  thread_id       uuid NOT NULL REFERENCES threads ON DELETE CASCADE,
  -- delivered, or in dead letters, up to here
  seq             bigint NOT NULL,
  -- as the last collected mark found it
  archived_seq    bigint NOT NULL,
  -- end of a batch that failed: what is tried again is the same
  batch_to        bigint,
  attempts        integer NOT NULL DEFAULT 0,
  -- raised by every claim: what a process that lost its claim reports is not taken
  claims          bigint NOT NULL DEFAULT 0,
  -- while an attempt is under way: when it counts as lost
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  last_error      text,
  PRIMARY KEY (group_id, thread_id)
) WITH (fillfactor = 60);
CREATE INDEX consumer_group_positions_due ON consumer_group_positions (group_id, next_attempt_at) WHERE archived_seq > seq;
CREATE INDEX consumer_group_positions_thread ON consumer_group_positions (thread_id);

-- References, not copies: what is removed from the log is no dead letter any more.
CREATE TABLE consumer_group_dead_letters (
  dead_letter_id  uuid PRIMARY KEY,
  group_id        uuid NOT NULL REFERENCES consumer_groups ON DELETE CASCADE,
  thread_id       uuid NOT NULL REFERENCES threads ON DELETE CASCADE,
  seq             bigint NOT NULL,
  term            bigint NOT NULL,
  status          text NOT NULL DEFAULT 'dead' CHECK (status IN ('dead', 'replaying')),
  attempts        integer NOT NULL,
  claims          bigint NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  error           text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  UNIQUE (group_id, thread_id, seq)
);
CREATE INDEX consumer_group_dead_letters_due ON consumer_group_dead_letters (next_attempt_at) WHERE status = 'replaying';
CREATE INDEX consumer_group_dead_letters_created ON consumer_group_dead_letters (group_id, created_at DESC, dead_letter_id);
CREATE INDEX consumer_group_dead_letters_thread ON consumer_group_dead_letters (thread_id);
CREATE INDEX consumer_group_dead_letters_old ON consumer_group_dead_letters (updated_at) WHERE status = 'dead';

-- Threads whose archive has grown. Appended to, never updated: whoever archives waits for nobody.
CREATE TABLE consumer_group_marks (
  position  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  thread_id uuid NOT NULL,
  -- archived before
  from_seq  bigint NOT NULL
);

CREATE FUNCTION consumer_group_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO consumer_group_marks (thread_id, from_seq) VALUES (NEW.thread_id, OLD.archived_seq);
  RETURN NULL;
END $$;
CREATE TRIGGER consumer_group_mark AFTER UPDATE OF archived_seq ON threads
  FOR EACH ROW WHEN (NEW.archived_seq > OLD.archived_seq) EXECUTE FUNCTION consumer_group_mark();
-- On while there are groups (src/consumer-groups/group.ts): without any it costs nothing.
ALTER TABLE threads DISABLE TRIGGER consumer_group_mark;
