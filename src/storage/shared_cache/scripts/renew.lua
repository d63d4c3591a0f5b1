-- Extends the lease of a flight that no other server has claimed.
-- KEYS: flight. ARGV: its token, lease in ms.
-- Returns 1 if the flight is that of the token.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
