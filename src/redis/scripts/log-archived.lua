-- Postgres has every event up to `archived`: raise the watermark, trim under it, mark again what is left.
-- The watermark only rises while the term is the same; a log of another term knows better itself.
--
--! keys: meta, stream, dirty
--! args: thread_id, archived, ttl_ms
--! reply: archived as stored; -1 when the log is gone

local meta, stream, dirty = KEYS[1], KEYS[2], KEYS[3]
local m = redis.call('HMGET', meta, 'l', 'p', 'm')
if not m[1] then return -1 end
local last, archived = tonumber(m[1]), math.max(tonumber(m[2]), tonumber(ARGV[2]))
-- Redis went back in time and Postgres is ahead of it: the writer's next append finds the gap.
archived = math.min(archived, last)
redis.call('HSET', meta, 'p', archived)
redis.call('XTRIM', stream, 'MINID', string.format('%d-0', archived + 1))
redis.call('PEXPIRE', meta, ARGV[3])
redis.call('PEXPIRE', stream, ARGV[3])
if last > archived and not m[3] then
  redis.call('XADD', dirty, '*', 't', ARGV[1])
  redis.call('HSET', meta, 'm', '1')
end
return archived
