-- Append a batch of events to a thread's log: fence, store, mark for the archiver, publish. Idempotent.
--
-- One script because each part depends on the others: an event stored but not marked would never be
-- archived, and one published but not stored could be read before it is true.
--
-- meta: t term, l last seq, p archived seq, s shut (claimed, no first batch yet), c closed, x run to
--       cancel, m a mark is out. The stream's entry ids are <seq>-<term>.
-- open = 1: this batch begins at the term's start, so everything below it is archived: a log of a lower
-- term, of none, or shut by this term's claim is started over. Without it such a log means that
-- Redis went back in time: REOPEN, the writer asks Postgres.
--
--! keys: meta, stream, dirty
--! args: thread_id, term, first, open, run_id, unarchived_max, ttl_ms, live_channel, live_header, contract_channel, contract_first, payload...
--! reply: {status, last, archived}: OK | DUP | GAP | FENCED | REOPEN | CLOSED | CANCELLED | BACKPRESSURE

local PUBLISH = 'PUBLISH' -- SPUBLISH in a cluster: scripts.ts
local meta, stream, dirty = KEYS[1], KEYS[2], KEYS[3]
local term, first, count = tonumber(ARGV[2]), tonumber(ARGV[3]), #ARGV - 11
local m = redis.call('HMGET', meta, 't', 'l', 'p', 's', 'c', 'x', 'm')
local t, last, archived = tonumber(m[1]), tonumber(m[2]), tonumber(m[3])
local shut, closed, cancel, mark = m[4], m[5], m[6], m[7]

if t ~= nil and term < t then return {'FENCED', last, archived} end
if t == nil or term > t or shut then
  if ARGV[4] ~= '1' then return {'REOPEN', 0, 0} end
  redis.call('DEL', meta, stream)
  last, archived, closed, cancel, mark = first - 1, first - 1, false, false, false
  redis.call('HSET', meta, 't', term, 'l', last, 'p', archived)
  redis.call('PEXPIRE', meta, ARGV[7])
end
-- The stream alone was lost: above such a hole nothing may be acknowledged.
if last > archived and redis.call('XLEN', stream) < last - archived then return {'REOPEN', 0, 0} end
if first + count - 1 <= last then return {'DUP', last, archived} end
if closed then return {'CLOSED', last, archived} end
if first > last + 1 then return {'GAP', last, archived} end
if cancel and cancel == ARGV[5] then return {'CANCELLED', last, archived} end
if first + count - 1 - archived > tonumber(ARGV[6]) then return {'BACKPRESSURE', last, archived} end

local fresh = last - first + 2
for i = fresh, count do
  last = last + 1
  redis.call('XADD', stream, string.format('%d-%d', last, term), 'e', ARGV[11 + i])
end
redis.call('PEXPIRE', stream, ARGV[7])
if mark then
  redis.call('HSET', meta, 'l', last)
else
  redis.call('XADD', dirty, '*', 't', ARGV[1])
  redis.call('HSET', meta, 'l', last, 'm', '1')
end
redis.call(PUBLISH, ARGV[8], ARGV[9] .. '\n' .. table.concat(ARGV, '\n', 12))
-- The documented per-run channel: one JSON message an event, only when somebody listens: to the channel, or to a
-- pattern besides the two for cancels that every process has (compat/names.ts). A node of a cluster does not know
-- who listens at the others.
if ARGV[10] ~= '' and (PUBLISH == 'SPUBLISH' or redis.call('PUBSUB', 'NUMSUB', ARGV[10])[2] > 0
    or redis.call('PUBSUB', 'NUMPAT') > 2) then
  local n = tonumber(ARGV[11])
  for i = fresh, count do
    local tab = string.find(ARGV[11 + i], '\t', 1, true)
    -- Joined, not formatted: %s ends at a NUL, and large data are copied once.
    redis.call('PUBLISH', ARGV[10], '{"id":"' .. string.format('%d', n + i - 1) .. '","event":'
      .. cjson.encode(string.sub(ARGV[11 + i], 1, tab - 1)) .. ',"data":' .. string.sub(ARGV[11 + i], tab + 1) .. '}')
  end
end
return {'OK', last, archived}
