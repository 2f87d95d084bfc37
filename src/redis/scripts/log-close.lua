-- The end of a run, after the terminal transaction: Postgres has every event up to `last`, so the stream
-- goes away, and the readers are told: the events that never came here, then the end.
-- Losing this call loses nothing: readers watch the run's row, the next term starts the log over.
--
--! keys: meta, stream
--! args: term, last, ttl_ms, live_channel, live_message, ends_channel, ends_message, contract_channel, contract_first, contract_end
--! reply: {'OK'} | {'FENCED'}

local PUBLISH = 'PUBLISH' -- SPUBLISH in a cluster: scripts.ts
local meta, stream = KEYS[1], KEYS[2]
local m = redis.call('HMGET', meta, 't', 'l', 's')
local t, last = tonumber(m[1]), tonumber(m[2])
if t ~= nil and t > tonumber(ARGV[1]) then return {'FENCED'} end
redis.call('DEL', meta, stream)
redis.call('HSET', meta, 't', ARGV[1], 'l', ARGV[2], 'p', ARGV[2], 'c', '1')
redis.call('PEXPIRE', meta, ARGV[3])
if ARGV[5] ~= '' then redis.call(PUBLISH, ARGV[4], ARGV[5]) end
redis.call(PUBLISH, ARGV[6], ARGV[7])
-- The documented per-run channel, as in log-append: the events that only now are told, then the end. An append that
-- was under way when the run ended has told some of them.
if ARGV[8] ~= '' and (PUBLISH == 'SPUBLISH' or redis.call('PUBSUB', 'NUMSUB', ARGV[8])[2] > 0 or redis.call('PUBSUB', 'NUMPAT') > 2) then
  local n, begin = tonumber(ARGV[9]), string.find(ARGV[5], '\n', 1, true)
  if begin then
    local seq = tonumber(string.match(ARGV[5], '^%d+'))
    if t ~= tonumber(ARGV[1]) or m[3] then last = 0 end
    for line in string.gmatch(string.sub(ARGV[5], begin + 1), '[^\n]+') do
      local tab = string.find(line, '\t', 1, true)
      if seq > last then
        redis.call('PUBLISH', ARGV[8], '{"id":"' .. string.format('%d', n) .. '","event":'
          .. cjson.encode(string.sub(line, 1, tab - 1)) .. ',"data":' .. string.sub(line, tab + 1) .. '}')
      end
      n = n + 1
      seq = seq + 1
    end
  end
  redis.call('PUBLISH', ARGV[8], ARGV[10])
end
return {'OK'}
