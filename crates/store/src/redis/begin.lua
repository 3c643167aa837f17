-- Begins a rebuild. KEYS: the view, the rebuild, the garbage. ARGV: generation, log.
-- What was being rebuilt before is given up: its fills and its switch are refused from here on, its keys are garbage.
local view = redis.call('HMGET', KEYS[1], 'generation', 'header')
if view[1] == ARGV[1] then
  return 'in use'
end
local before = redis.call('HGET', KEYS[2], 'generation')
if before and before ~= ARGV[1] then
  redis.call('SADD', KEYS[3], before)
end
redis.call('HSET', KEYS[2], 'generation', ARGV[1], 'log', ARGV[2], 'filled', 0,
  'over', (view[1] or '') .. '/' .. (view[2] or ''))
return 'begun'
