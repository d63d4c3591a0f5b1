-- Tells what a snapshot has counted.
--
-- KEYS: snapshot, sequence.
-- ARGV: name of the snapshot.
--
-- Returns {0} if the snapshot is gone, else {1, number of commits at its begin, number of commits now, number of commits that have kept
-- old values for it}.

if redis.call('HGET', KEYS[1], 'name') ~= ARGV[1] then
  return {0}
end
local begun = tonumber(redis.call('HGET', KEYS[1], 'sequence') or '0')
local now = tonumber(redis.call('GET', KEYS[2]) or '0')
return {1, begun, now, tonumber(redis.call('HGET', KEYS[1], 'commits') or '0')}
