-- Applies what one server asks of the rate limits, in its order and as one step.
--
-- KEYS: leases of the servers, last batch of the server, then the scopes (keys and projects) that the operations name.
-- ARGV: name of the server, number of the batch, lease of the server in ms, then the operations:
--   'a' id tokens n, n times (place of the scope in KEYS, requests, tokens, concurrent requests): admits a request, or refuses it
--   'c' id tokens n, as above: admits a request that has been counted before, so that it takes none from the limits of requests
--   't' id tokens n, as above: takes tokens for an admitted request in place of its estimate, or refuses it and gives all back
--   's' id tokens n, n places: settles the tokens of a request; '' for what was taken
--   'e' id n, n places: ends a request
-- A limit is '' for none.
--
-- Returns numbers: for each 'a', 'c' and 't' whether it is admitted (1 or 0), and for a refused one which scope refuses it (1, 2), by
-- which limit (0 requests, 1 tokens, 2 concurrent requests), its value and the wait in ns (-1: for ever); then for each scope
-- limit, remaining amount and time until it is full in ns, of requests and of tokens (limit -1: none).
--
-- A batch that is sent again is answered again. One that is older than the last changes nothing and is answered with nothing: its
-- server has gone on, and nobody waits for the answer. Times are in ns since the base of a scope, all numbers are integers, and exact
-- below 2^53: amounts of money are not among them. A bucket is that of bucket.rs: limit (l), time when it is full without the open
-- debits (s) and with them (f), and debits (d) of server (n), id (i), weight (w), earliest time (m), settled (c: 1 or 0).

if redis.replicate_commands then
  redis.replicate_commands()
end

local NANOS_PER_MINUTE = 60000000000
local CONCURRENCY_WAIT = 1000000000
local MAX_AGE = 86400000000000
local MAX_NUMBER = 9000000000000000
local IDLE_MS = 60000
local BUSY_MS = 86400000
local MAX_MS = 2592000000
local BATCH_MS = 600000
local FORGOTTEN_MS = 3600000

local server = ARGV[1]
local batch = ARGV[2]
local place_of_argument = 3

local function text()
  place_of_argument = place_of_argument + 1
  return ARGV[place_of_argument]
end

local function number()
  return tonumber(text())
end

local function format(value)
  return string.format('%.0f', value)
end

local made = redis.call('GET', KEYS[2])
if made then
  local last, answer = cmsgpack.unpack(made)
  if last == batch then
    return answer
  end
  if tonumber(batch) < tonumber(last) then
    return {}
  end
end

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)
local alive = {[server] = true}

local function is_alive(name)
  if alive[name] == nil then
    local ends_at = redis.call('ZSCORE', KEYS[1], name)
    alive[name] = ends_at and tonumber(ends_at) > now_ms or false
  end
  return alive[name]
end

-- Buckets.

local function unit(bucket)
  return math.floor(NANOS_PER_MINUTE / bucket.l)
end

local function backlog(bucket, now)
  return math.max(bucket.f - now, 0)
end

local function apply(debit, full_at)
  return math.max(full_at + debit.w, debit.m)
end

local function merge_settled(bucket)
  local kept = {}
  for _, debit in ipairs(bucket.d) do
    local last = kept[#kept]
    if last and last.c == 1 and debit.c == 1 then
      last.m = apply(debit, last.m)
      last.w = last.w + debit.w
    else
      kept[#kept + 1] = debit
    end
  end
  if kept[1] and kept[1].c == 1 then
    bucket.s = apply(kept[1], bucket.s)
    table.remove(kept, 1)
  end
  bucket.d = kept
end

local function take(bucket, id, amount, now)
  local weight = unit(bucket) * amount
  local debit = {n = server, i = id, w = weight, m = now + weight, c = 0}
  bucket.f = apply(debit, bucket.f)
  bucket.d[#bucket.d + 1] = debit
end

-- Changes a debit. Returns false if there is none.
local function change(bucket, id, amount, is_settled)
  for _, debit in ipairs(bucket.d) do
    if debit.i == id and debit.n == server and debit.c == 0 then
      local weight = amount and unit(bucket) * amount or debit.w
      debit.m = debit.m - debit.w + weight
      debit.w = weight
      debit.c = is_settled and 1 or 0
      merge_settled(bucket)
      bucket.f = bucket.s
      for _, later in ipairs(bucket.d) do
        bucket.f = apply(later, bucket.f)
      end
      return true
    end
  end
  return false
end

local function with_limit(bucket, limit, now)
  if not limit or limit == 0 then
    return nil
  end
  if not bucket then
    return {l = limit, s = now, f = now, d = {}}
  end
  if bucket.l ~= limit then
    local used = math.ceil(backlog(bucket, now) / unit(bucket))
    bucket.l = limit
    bucket.f = now + unit(bucket) * used
    bucket.s = bucket.f
    bucket.d = {}
  end
  return bucket
end

local function shortage(bucket, amount, now)
  if not bucket or amount > bucket.l then
    return math.huge
  end
  local wait = backlog(bucket, now) + unit(bucket) * math.max(amount, 1) - unit(bucket) * bucket.l
  return wait > 0 and wait or nil
end

-- Scopes.

local scopes = {}

-- Moves the base of a scope, whose times would not be exact otherwise.
local function rebase(scope)
  local by = (now_us - scope.base) * 1000
  scope.base = now_us
  for _, name in ipairs({'requests', 'tokens'}) do
    local bucket = scope[name]
    if bucket then
      bucket.s = bucket.s - by
      bucket.f = bucket.f - by
      for _, debit in ipairs(bucket.d) do
        debit.m = debit.m - by
      end
    end
  end
end

-- Gives back what servers without a lease have: their running requests end, and their debits stay as they are.
local function drop_dead(scope)
  for name in pairs(scope.running) do
    if not is_alive(name) then
      scope.running[name] = nil
    end
  end
  for _, name in ipairs({'requests', 'tokens'}) do
    local bucket = scope[name]
    if bucket then
      for _, debit in ipairs(bucket.d) do
        if not is_alive(debit.n) then
          debit.c = 1
        end
      end
      merge_settled(bucket)
    end
  end
end

local function scope_at(place)
  local scope = scopes[place]
  if not scope then
    local stored = redis.call('GET', KEYS[place])
    scope = stored and cmsgpack.unpack(stored) or {base = now_us, running = {}}
    drop_dead(scope)
    if (now_us - scope.base) * 1000 > MAX_AGE then
      rebase(scope)
    end
    scope.now = (now_us - scope.base) * 1000
    scope.is_new = not stored
    scopes[place] = scope
  end
  return scope
end

local function set_limits(scope, limits)
  scope.limits = limits
  scope.requests = with_limit(scope.requests, limits.requests, scope.now)
  scope.tokens = with_limit(scope.tokens, limits.tokens, scope.now)
  scope.is_new = false
end

local function count_running(scope)
  local count = 0
  for _, ids in pairs(scope.running) do
    for _ in pairs(ids) do
      count = count + 1
    end
  end
  return count
end

-- Returns the limits that an operation exceeds, as {wait, kind, limit}.
local function hits(scope, tokens, is_new_request, takes_request)
  local found = {}
  local limits = scope.limits
  local function add(kind, limit, wait)
    if limit and wait then
      found[#found + 1] = {wait, kind, limit}
    end
  end
  if takes_request then
    add(0, limits.requests, shortage(scope.requests, 1, scope.now))
  end
  add(1, limits.tokens, shortage(scope.tokens, tokens, scope.now))
  local concurrent = limits.concurrent
  if is_new_request and concurrent then
    if concurrent == 0 then
      add(2, concurrent, math.huge)
    elseif count_running(scope) >= concurrent then
      add(2, concurrent, CONCURRENCY_WAIT)
    end
  end
  return found
end

local function worst_hit(named, tokens, is_new_request, takes_request)
  local worst
  for place, scope in ipairs(named) do
    for _, hit in ipairs(hits(scope, tokens, is_new_request, takes_request)) do
      if not worst or hit[1] >= worst[1] then
        worst = {hit[1], hit[2], hit[3], place}
      end
    end
  end
  return worst
end

-- Operations.

local answer = {}

local function say(value)
  answer[#answer + 1] = math.min(value, MAX_NUMBER)
end

local function say_level(bucket, now)
  if not bucket then
    say(-1)
    say(0)
    say(0)
    return
  end
  local used = math.ceil(backlog(bucket, now) / unit(bucket))
  say(bucket.l)
  say(math.max(bucket.l - used, 0))
  say(backlog(bucket, now))
end

local function say_outcome(named, worst)
  if worst then
    say(0)
    say(worst[4])
    say(worst[2])
    say(worst[3])
    say(worst[1] == math.huge and -1 or worst[1])
  else
    say(1)
  end
  for _, scope in ipairs(named) do
    say_level(scope.requests, scope.now)
    say_level(scope.tokens, scope.now)
  end
end

local function named_scopes()
  local named = {}
  for _ = 1, number() do
    named[#named + 1] = scope_at(number())
  end
  return named
end

-- Reads scopes with their limits. Those of a request that is admitted already count only where nothing is known.
local function limited_scopes(is_new_request)
  local named = {}
  for _ = 1, number() do
    local scope = scope_at(number())
    local limits = {requests = number(), tokens = number(), concurrent = number()}
    if is_new_request or scope.is_new then
      set_limits(scope, limits)
    end
    named[#named + 1] = scope
  end
  return named
end

local function admit_by(takes_request)
  local id, tokens = number(), number()
  local named = limited_scopes(true)
  local worst = worst_hit(named, tokens, true, takes_request)
  if not worst then
    for _, scope in ipairs(named) do
      local ids = scope.running[server] or {}
      ids[format(id)] = 1
      scope.running[server] = ids
      if scope.requests and takes_request then
        take(scope.requests, id, 1, scope.now)
      end
      if scope.tokens then
        take(scope.tokens, id, tokens, scope.now)
      end
    end
  end
  say_outcome(named, worst)
end

local function admit()
  admit_by(true)
end

local function admit_counted()
  admit_by(false)
end

local function take_tokens()
  local id, tokens = number(), number()
  local named = limited_scopes(false)
  local worst = worst_hit(named, tokens, false, false)
  for _, scope in ipairs(named) do
    if worst then
      for _, bucket in ipairs({scope.requests or scope.tokens, scope.tokens}) do
        change(bucket, id, 0, true)
      end
    elseif scope.tokens and not change(scope.tokens, id, tokens, false) then
      take(scope.tokens, id, tokens, scope.now)
    end
  end
  say_outcome(named, worst)
end

local function settle()
  local id, tokens = number(), number()
  for _, scope in ipairs(named_scopes()) do
    if scope.requests then
      change(scope.requests, id, nil, true)
    end
    if scope.tokens then
      change(scope.tokens, id, tokens, true)
    end
  end
end

local function finish()
  local id = number()
  for _, scope in ipairs(named_scopes()) do
    local ids = scope.running[server]
    if ids then
      ids[format(id)] = nil
      if not next(ids) then
        scope.running[server] = nil
      end
    end
  end
end

local operations = {a = admit, c = admit_counted, t = take_tokens, s = settle, e = finish}
while place_of_argument < #ARGV do
  operations[text()]()
end

-- Nothing was written until here.
redis.call('ZADD', KEYS[1], format(now_ms + tonumber(ARGV[3])), server)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', format(now_ms - FORGOTTEN_MS))
redis.call('SET', KEYS[2], cmsgpack.pack(batch, answer), 'PX', format(BATCH_MS))
for place, scope in pairs(scopes) do
  local rest = 0
  local is_busy = next(scope.running) ~= nil
  for _, name in ipairs({'requests', 'tokens'}) do
    local bucket = scope[name]
    if bucket then
      rest = math.max(rest, backlog(bucket, scope.now))
      is_busy = is_busy or #bucket.d > 0
    end
  end
  scope.now = nil
  scope.is_new = nil
  if is_busy or rest > 0 then
    local lives = math.min(math.ceil(rest / 1000000) + (is_busy and BUSY_MS or IDLE_MS), MAX_MS)
    redis.call('SET', KEYS[place], cmsgpack.pack(scope), 'PX', format(lives))
  else
    redis.call('DEL', KEYS[place])
  end
end
return answer
