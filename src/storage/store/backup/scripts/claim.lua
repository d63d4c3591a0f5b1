-- Claims work for a server, or claims it again.
--
-- KEYS: claim.
-- ARGV: name of the server, time in ms for which it is claimed.
--
-- Returns {1} if the server has the claim, else {0}.

local claimant = redis.call('GET', KEYS[1])
if claimant and claimant ~= ARGV[1] then
  return {0}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1}
