-- Begins a snapshot, unless another one is being read.
--
-- KEYS: snapshot, sequence.
-- ARGV: random name of the snapshot, time in ms after which it ends by itself.
--
-- Returns {1 if it has begun and else 0}. Sent twice, it begins once.

local present = redis.call('HGET', KEYS[1], 'name')
if present and present ~= ARGV[1] then
  return {0}
end
local sequence = redis.call('GET', KEYS[2]) or '0'
redis.call('HSET', KEYS[1], 'name', ARGV[1])
redis.call('HSETNX', KEYS[1], 'sequence', sequence)
redis.call('HSETNX', KEYS[1], 'commits', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1}
