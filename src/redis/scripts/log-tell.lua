-- Tell of events that are in Postgres already (the strict mode, which stores none here): to the readers as a live
-- batch, to the documented per-run channel one JSON message an event, as log-append does; and of the run's end.
-- Touches no key: the first is the log's, for its place in a cluster.
--
--! keys: meta
--! args: live_channel, live_message, contract_channel, contract_first, contract_end
--! reply: 'OK'

local PUBLISH = 'PUBLISH' -- SPUBLISH in a cluster: scripts.ts
if ARGV[2] ~= '' then redis.call(PUBLISH, ARGV[1], ARGV[2]) end
if ARGV[3] ~= '' and (PUBLISH == 'SPUBLISH' or redis.call('PUBSUB', 'NUMSUB', ARGV[3])[2] > 0 or redis.call('PUBSUB', 'NUMPAT') > 2) then
  local n, begin = tonumber(ARGV[4]), string.find(ARGV[2], '\n', 1, true)
  if begin then
    for line in string.gmatch(string.sub(ARGV[2], begin + 1), '[^\n]+') do
      local tab = string.find(line, '\t', 1, true)
      redis.call('PUBLISH', ARGV[3], '{"id":"' .. string.format('%d', n) .. '","event":'
        .. cjson.encode(string.sub(line, 1, tab - 1)) .. ',"data":' .. string.sub(line, tab + 1) .. '}')
      n = n + 1
    end
  end
  if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[5]) end
end
return 'OK'
