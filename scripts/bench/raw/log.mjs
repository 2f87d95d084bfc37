/** The least a log needs: one script that appends and publishes, one INSERT; no fence, no marks, no idempotence. */
export const APPEND = `
local seq = tonumber(ARGV[1])
for i = 3, #ARGV do
  redis.call('XADD', KEYS[1], string.format('%d-1', seq), 'e', ARGV[i])
  seq = seq + 1
end
redis.call('PUBLISH', ARGV[2], table.concat(ARGV, '\\n', 3))
return seq`;

export const SCHEMA = `
  CREATE TABLE raw_events (thread_id text, seq bigint, term bigint, type text, data text, PRIMARY KEY (thread_id, seq));
  CREATE TABLE raw_runs (run_id uuid PRIMARY KEY, status text, data json);
  CREATE INDEX raw_runs_pending ON raw_runs (run_id) WHERE status = 'pending'`;

export const INSERT = {
  name: 'raw-insert',
  text: `INSERT INTO raw_events (thread_id, seq, term, type, data)
    SELECT k, s, 1, y, d FROM json_to_recordset($1::json) AS b(k text, s bigint, y text, d text) ON CONFLICT DO NOTHING`,
};

export const END = 'END';
export const BATCH_MAX = 1_000;
