-- Bring the wake-up list to at least `wanted` sentinels. One script, so that any number of sweepers that find
-- the same runs overdue add their wake-ups once.
--
--! keys: list
--! args: wanted, max, sentinel
--! reply: added

local length = redis.call('LLEN', KEYS[1])
local wanted = math.min(tonumber(ARGV[1]), tonumber(ARGV[2]))
-- In parts: Lua's stack holds some thousands of arguments.
local added = 0
while length < wanted do
  local part = {}
  for i = 1, math.min(wanted - length, 1000) do part[i] = ARGV[3] end
  redis.call('LPUSH', KEYS[1], unpack(part))
  length = length + #part
  added = added + #part
end
return added
