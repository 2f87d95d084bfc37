-- The end of a run, after the terminal transaction: Postgres has every event up to `last`, so the stream
-- goes away, and the readers are told: the events that never came here, then the end.
-- Losing this call loses nothing: readers watch the run's row, the next term starts the log over.
--
--! keys: meta, stream
--! args: term, last, ttl_ms, live_channel, live_message, ends_channel, ends_message
--! reply: {'OK'} | {'FENCED'}

local PUBLISH = 'PUBLISH' -- SPUBLISH in a cluster: scripts.ts
local meta, stream = KEYS[1], KEYS[2]
local t = tonumber(redis.call('HGET', meta, 't'))
if t ~= nil and t > tonumber(ARGV[1]) then return {'FENCED'} end
redis.call('DEL', meta, stream)
redis.call('HSET', meta, 't', ARGV[1], 'l', ARGV[2], 'p', ARGV[2], 'c', '1')
redis.call('PEXPIRE', meta, ARGV[3])
if ARGV[5] ~= '' then redis.call(PUBLISH, ARGV[4], ARGV[5]) end
redis.call(PUBLISH, ARGV[6], ARGV[7])
return {'OK'}
