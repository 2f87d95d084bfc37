-- Note a cancel request where the writer's next append sees it. A hint: the request itself is in Postgres.
--
--! keys: meta
--! args: run_id
--! reply: 1 noted | 0 no log here

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'x', ARGV[1])
return 1
