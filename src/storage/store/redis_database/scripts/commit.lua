-- Commits a group of transactions, if what they have read still holds.
--
-- KEYS: writer, seat, sequence, head, index, snapshot, then the keys that are compared, that are removed and that are set.
-- ARGV: number of the commit, name of the writer, lease of the writer in ms, lease of the seat in ms (0: not wanted), head that
-- must not have changed ('*': any), length of the prefix of keys, then the numbers of keys that are compared, of ranges that are
-- compared, of keys that are removed and of keys that are set, number of the last commit that the writer was told is made, number of
-- the commits of all writers that it was told; then the version of each key that is compared, each range (first,
-- last, limit, number of its keys, keys), and the value of each key that is set.
--
-- Returns one of
--   {'done', head, seconds, sequence}: made, now or by an earlier call with the same number; with the number of all commits
--   {'busy', ms}: another writer has the seat for so long
--   {'conflict', head, {place, value, ..}, others}: others have changed something; current values of compared keys, by their place,
--     and the number of keys that differ beside them
--   {'fenced'}: the lease of the writer is over
--   {'stale'}: a later commit of the writer is made
--   {'lost', head, last, sequence}: commits that the writer was told of are lost: by a fail-over, or with the end of the log. With
--     the number of its last one that is left, and of all commits
--
-- While a snapshot is read, it keeps what each changed key had before its first change, as 'NUMBER OF COMMITS:VALUE'.
--
-- The only arithmetic is on places and numbers of commits: amounts are bytes inside of values.

local VERSION_BYTES = 17
local MAX_RETURNED = 64
local MAX_RETURNED_BYTES = 65536
local FIXED_KEYS = 6
local FIXED_ARGUMENTS = 12

local number = tonumber(ARGV[1])
local writer = ARGV[2]
local prefix_bytes = tonumber(ARGV[6])
local compared = tonumber(ARGV[7])
local ranges = tonumber(ARGV[8])
local removed = tonumber(ARGV[9])
local set = tonumber(ARGV[10])

-- Called after the writes: versions before 7 refuse a write after it.
local function seconds()
  return tonumber(redis.call('TIME')[1])
end

local last = redis.call('GET', KEYS[1])
if not last then
  return {'fenced'}
end
last = tonumber(last)
local head = redis.call('GET', KEYS[4]) or ''
local sequence = tonumber(redis.call('GET', KEYS[3]) or '0')
if last == number then
  return {'done', head, seconds(), sequence}
end
if last > number then
  return {'stale'}
end
if last < tonumber(ARGV[11]) or sequence < tonumber(ARGV[12]) then
  return {'lost', head, last, sequence}
end

local seat = redis.call('GET', KEYS[2])
if seat and seat ~= writer then
  return {'busy', redis.call('PTTL', KEYS[2])}
end

local argument = FIXED_ARGUMENTS
local conflicts = {}
local others = 0
local is_valid = ARGV[5] == '*' or ARGV[5] == head
for place = 1, compared do
  local key = KEYS[FIXED_KEYS + place]
  if redis.call('GETRANGE', key, 0, VERSION_BYTES - 1) ~= ARGV[argument + place] then
    is_valid = false
    if #conflicts < 2 * MAX_RETURNED and redis.call('STRLEN', key) <= MAX_RETURNED_BYTES then
      conflicts[#conflicts + 1] = place - 1
      conflicts[#conflicts + 1] = redis.call('GET', key) or ''
    else
      others = others + 1
    end
  end
end
argument = argument + compared
for _ = 1, ranges do
  local count = tonumber(ARGV[argument + 4])
  local found = redis.call('ZRANGEBYLEX', KEYS[5], ARGV[argument + 1], ARGV[argument + 2], 'LIMIT', 0, ARGV[argument + 3])
  argument = argument + 4
  is_valid = is_valid and #found == count
  for place = 1, count do
    is_valid = is_valid and found[place] == ARGV[argument + place]
  end
  argument = argument + count
end

if not is_valid then
  if tonumber(ARGV[4]) > 0 then
    -- Redis refuses it when its memory is full. The answer is a conflict nevertheless.
    redis.pcall('SET', KEYS[2], writer, 'NX', 'PX', ARGV[4])
  end
  return {'conflict', head, conflicts, others}
end

-- Keeps what a key has for the snapshot that is being read. If the memory of Redis is full, the snapshot ends: its reader notices, and
-- what makes room is not refused for it.
local has_snapshot = removed + set > 0 and redis.call('EXISTS', KEYS[6]) == 1
local function keep_old_value(key)
  if not has_snapshot then
    return
  end
  local field = 'record:' .. string.sub(key, prefix_bytes + 1)
  if redis.call('HEXISTS', KEYS[6], field) == 1 then
    -- A record that changes all the time may be large.
    return
  end
  local old = redis.call('GET', key) or ''
  local kept = redis.pcall('HSETNX', KEYS[6], field, string.format('%.0f', sequence) .. ':' .. old)
  if type(kept) == 'table' and kept.err then
    redis.call('DEL', KEYS[6])
    has_snapshot = false
  end
end

-- Removals come first: Redis allows them when its memory is full, and then allows the rest of the script.
local place = FIXED_KEYS + compared
for _ = 1, removed do
  place = place + 1
  keep_old_value(KEYS[place])
  redis.call('DEL', KEYS[place])
  redis.call('ZREM', KEYS[5], string.sub(KEYS[place], prefix_bytes + 1))
end
for count = 1, set do
  place = place + 1
  keep_old_value(KEYS[place])
  redis.call('SET', KEYS[place], ARGV[argument + count])
  redis.call('ZADD', KEYS[5], 0, string.sub(KEYS[place], prefix_bytes + 1))
end
if removed + set > 0 then
  sequence = redis.call('INCR', KEYS[3])
  head = writer .. ':' .. ARGV[1]
  redis.call('SET', KEYS[4], head)
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
  if has_snapshot then
    redis.call('HINCRBY', KEYS[6], 'commits', 1)
  end
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
if seat then
  redis.call('DEL', KEYS[2])
end
return {'done', head, seconds(), sequence}
