-- The archiver's read of one marked log: takes the mark down first, so that an append after this call
-- sets a new one, then answers what is not archived yet.
--
--! keys: meta, stream
--! args: count
--! reply: {archived, id, payload, id, payload, ...}; {} when the log is gone

local meta, stream = KEYS[1], KEYS[2]
local archived = redis.call('HGET', meta, 'p')
if not archived then return {} end
redis.call('HDEL', meta, 'm')
local reply = {tonumber(archived)}
for _, entry in ipairs(redis.call('XRANGE', stream, string.format('%d-0', archived + 1), '+', 'COUNT', ARGV[1])) do
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = entry[2][2]
end
return reply
