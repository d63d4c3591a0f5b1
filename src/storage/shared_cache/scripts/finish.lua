-- Stores an answer unless its generation was cleared, and ends its flight.
-- KEYS: generation of all, generation of the project, answer, flight.
-- ARGV: generation, answer (empty for none), its life in ms, token of the flight, life of the mark of an answer that others
-- do not get, in ms (0 for no mark).
-- Returns 1 if the answer is stored.

local is_stored = 0
local current = (redis.call('GET', KEYS[1]) or '') .. '/' .. (redis.call('GET', KEYS[2]) or '')
if ARGV[2] ~= '' and current == ARGV[1] then
  redis.call('SET', KEYS[3], ARGV[1] .. '\n' .. ARGV[2], 'PX', ARGV[3])
  is_stored = 1
end
if redis.call('GET', KEYS[4]) == ARGV[4] then
  if ARGV[5] == '0' then
    redis.call('DEL', KEYS[4])
  else
    redis.call('SET', KEYS[4], '-', 'PX', ARGV[5])
  end
end
return is_stored
