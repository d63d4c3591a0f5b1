-- Clears the answers of one project, or of all.
-- KEYS: mark of the last clearing, generation. ARGV: random mark, life of marks in ms.

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
