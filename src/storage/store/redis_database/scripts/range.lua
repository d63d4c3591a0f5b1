-- Returns consecutive records.
--
-- KEYS: index.
-- ARGV: prefix of the keys of records, first, last, maximum number of records, bytes after which no more are read.
--
-- Returns {1 if there are more and else 0, key, value, ..}. The value of a record that has none is ''.

local limit = tonumber(ARGV[4])
local max_bytes = tonumber(ARGV[5])
local keys = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, limit + 1)
local found = {0}
local bytes = 0
for place, key in ipairs(keys) do
  if place > limit or bytes > max_bytes then
    found[1] = 1
    break
  end
  local value = redis.call('GET', ARGV[1] .. key) or ''
  bytes = bytes + #value
  found[#found + 1] = key
  found[#found + 1] = value
end
return found
