-- Raise the fence of a thread's log to `term` and keep the only tail that can be valid: entries that go
-- on densely from `archived` and carry `tail_term`, the newest term that Postgres has a start of. Used at
-- a claim (tail_term is the term before) and by a writer whose log Redis lost (tail_term is its own).
--
-- At a claim the log stays shut until the term's first batch (log-append.lua, `open`), and a call that
-- comes again, or late, changes nothing.
-- The stream is rebuilt, because XDEL would leave its last id too high for the next XADD.
--
--! keys: meta, stream, dirty
--! args: thread_id, term, tail_term, archived, start, ttl_ms, live_channel
--! start: the term's first seq, or '' at a claim
--! reply: {'OK', last, id, payload, id, payload, ...} the tail's entries, at a claim only | {'FENCED', term}

local PUBLISH = 'PUBLISH' -- SPUBLISH in a cluster: scripts.ts
local meta, stream, dirty = KEYS[1], KEYS[2], KEYS[3]
local term, tail_term, archived = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local m, claim = redis.call('HMGET', meta, 't', 'p'), ARGV[5] == ''
local t = tonumber(m[1])
if t ~= nil and t > term then return {'FENCED', t} end
-- An archiver may have committed and trimmed since the caller asked Postgres. The watermark of a lower term tells nothing
-- that Postgres does not, and may be that of a deleted thread that had this id.
if m[2] and t ~= nil and t >= tail_term then archived = math.max(archived, tonumber(m[2])) end

local reply, keep, last = {'OK', 0}, {}, archived
for _, entry in ipairs(redis.call('XRANGE', stream, string.format('%d-0', archived + 1), '+')) do
  local s, et = string.match(entry[1], '^(%d+)-(%d+)$')
  if tonumber(s) ~= last + 1 or tonumber(et) ~= tail_term then break end
  last = last + 1
  keep[#keep + 1] = entry
end

reply[2] = last
if claim then
  for _, entry in ipairs(keep) do
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = entry[2][2]
  end
  if t == term then return reply end
end

redis.call('DEL', meta, stream)
for _, entry in ipairs(keep) do redis.call('XADD', stream, entry[1], 'e', entry[2][2]) end
redis.call('HSET', meta, 't', term, 'l', last, 'p', archived)
if claim then redis.call('HSET', meta, 's', '1') end
redis.call('PEXPIRE', meta, ARGV[6])
redis.call('PEXPIRE', stream, ARGV[6])
if #keep > 0 then
  redis.call('XADD', dirty, '*', 't', ARGV[1])
  redis.call('HSET', meta, 'm', '1')
end
redis.call(PUBLISH, ARGV[7], 'term ' .. term)
return reply
