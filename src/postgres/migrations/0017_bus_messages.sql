-- Messages to agents that pass between processes (src/bus/pubsub.ts). The row is the message; what goes through
-- Redis is a copy that says it is there.

CREATE TABLE bus_messages (
  position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message_id  text NOT NULL,
  type        text NOT NULL,
  from_agent  text NOT NULL,
  to_agent    text NOT NULL,
  -- the workflow execution that it belongs to: any process may answer its questions
  scope       text,
  content     json NOT NULL,
  priority    smallint NOT NULL,
  reply_to    text,
  -- one question over all attempts at the node that asks it
  dedupe_key  text,
  state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'withdrawn')),
  -- how often it was taken; the fence of who holds it
  deliveries  integer NOT NULL DEFAULT 0,
  lease_until timestamptz,
  created_at  timestamptz NOT NULL DEFAULT now(),
  expires_at  timestamptz NOT NULL,
  UNIQUE (from_agent, message_id)
);
CREATE UNIQUE INDEX bus_messages_key ON bus_messages (dedupe_key) WHERE dedupe_key IS NOT NULL;
-- A question has one answer, however many processes gave one.
CREATE UNIQUE INDEX bus_messages_answer ON bus_messages (to_agent, reply_to)
  WHERE type IN ('RESPONSE', 'TASK_RESPONSE', 'ERROR') AND reply_to IS NOT NULL;
CREATE INDEX bus_messages_pending ON bus_messages (to_agent) WHERE state = 'pending';
CREATE INDEX bus_messages_questions ON bus_messages (position) WHERE state = 'pending' AND type = 'QUERY' AND scope IS NOT NULL;
CREATE INDEX bus_messages_expiry ON bus_messages (expires_at);
