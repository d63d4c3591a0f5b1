-- Returns consecutive records that have not changed since a snapshot has begun.
--
-- KEYS: index, snapshot, sequence.
-- ARGV: prefix of the keys of records, first, last, maximum number of records, bytes after which no more are read, name of the
-- snapshot, time in ms after which it ends by itself.
--
-- Returns {0} if the snapshot is gone, else {1, number of commits, 1 if there are more and else 0, last key that was looked at or '',
-- key, value, ..}.

if redis.call('HGET', KEYS[2], 'name') ~= ARGV[6] then
  return {0}
end
local limit = tonumber(ARGV[4])
local max_bytes = tonumber(ARGV[5])
local sequence = tonumber(redis.call('GET', KEYS[3]) or '0')
local keys = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, limit + 1)
local found = {1, sequence, 0, ''}
local bytes = 0
for place, key in ipairs(keys) do
  if place > limit or bytes > max_bytes then
    found[3] = 1
    break
  end
  found[4] = key
  if redis.call('HEXISTS', KEYS[2], 'record:' .. key) == 0 then
    local value = redis.call('GET', ARGV[1] .. key) or ''
    bytes = bytes + #value
    found[#found + 1] = key
    found[#found + 1] = value
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[7])
return found
