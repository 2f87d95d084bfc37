-- Long-term memory of graphs, shared by all threads. Labels contain no dot, so the namespace joined by
-- dots sorts and prefixes like the list of labels.

CREATE TABLE store_items (
  namespace  text[] COLLATE "C" NOT NULL,
  key        text COLLATE "C" NOT NULL,
  -- as the client sent it: jsonb would refuse \u0000 and reorder keys
  value      json NOT NULL,
  -- the same for filters, with what jsonb refuses replaced by U+FFFD
  searchable jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (namespace, key)
);
CREATE INDEX store_items_searchable ON store_items USING gin (searchable jsonb_path_ops);
