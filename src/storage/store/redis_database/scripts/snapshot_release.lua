-- Ends a snapshot, and removes the old values that were kept for it.
--
-- KEYS: snapshot.
-- ARGV: name of the snapshot.

if redis.call('HGET', KEYS[1], 'name') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
