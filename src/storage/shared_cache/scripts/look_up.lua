-- Reads an answer, and claims its flight if there is none.
-- KEYS: mark of the last clearing, and for an answer: generation of all, generation of the project, answer, flight.
-- ARGV: random mark, life of marks in ms, mode ("claim" or "renew"), token of the flight, lease of the flight in ms.
-- Returns state, mark of the last clearing, generation, answer, and what is left of its life in ms.

local function mark_of(key)
  local mark = redis.call('GET', key)
  if not mark then
    mark = ARGV[1]
    redis.call('SET', key, mark, 'PX', ARGV[2])
  elseif redis.call('PTTL', key) * 2 < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', key, ARGV[2])
  end
  return mark
end

local clearing = mark_of(KEYS[1])
if #KEYS == 1 then
  return {'free', clearing, '', false, 0}
end
local generation = mark_of(KEYS[2]) .. '/' .. mark_of(KEYS[3])
if ARGV[3] == 'renew' then
  return {'free', clearing, generation, false, 0}
end
local stored = redis.call('GET', KEYS[4])
local start = generation .. '\n'
if stored and string.sub(stored, 1, #start) == start then
  return {'found', clearing, generation, string.sub(stored, #start + 1), redis.call('PTTL', KEYS[4])}
end
local flight = redis.call('GET', KEYS[5])
if not flight or flight == ARGV[4] then
  redis.call('SET', KEYS[5], ARGV[4], 'PX', ARGV[5])
  return {'claimed', clearing, generation, false, 0}
end
return {flight == '-' and 'free' or 'taken', clearing, generation, false, 0}
