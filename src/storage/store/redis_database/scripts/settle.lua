-- Sees to it that a commit which may still be on its way is not made any more.
--
-- KEYS: writer.
-- ARGV: number of the commit, lease of the writer in ms.
--
-- The number never goes down: this call may come late, too. Without a lease the commit is refused anyway.

local last = redis.call('GET', KEYS[1])
if last and tonumber(last) < tonumber(ARGV[1]) then
  -- The first write is one that Redis allows when its memory is full, and then allows the other.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
