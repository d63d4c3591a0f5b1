-- Registers a writer, unless it is registered already.
--
-- KEYS: writer, head, sequence.
-- ARGV: lease of the writer in ms.
--
-- Returns {seconds, head, sequence}: the time of Redis, the name of the last commit of all writers, and the number of all commits.
--
-- Sent twice, it may come after the first commits, and does not take their number back.

-- The first write is one that Redis allows when its memory is full, and then allows the other: a server that was silent for too
-- long has to register before it can close its holds, which makes room.
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then
  redis.call('SET', KEYS[1], '0', 'PX', ARGV[1])
end
local head = redis.call('GET', KEYS[2]) or ''
local sequence = tonumber(redis.call('GET', KEYS[3]) or '0')
-- Called after the writes: versions before 7 refuse a write after it.
return {tonumber(redis.call('TIME')[1]), head, sequence}
