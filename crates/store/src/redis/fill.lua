-- Writes a portion into the view that is being rebuilt. KEYS: the rebuild, then those of the plan.
-- ARGV: generation, number of this portion; the plan.
-- The count tells a rebuild that Redis kept whole from one that fell back to an older copy on the way.
local rebuild = redis.call('HMGET', KEYS[1], 'generation', 'filled')
local number = tonumber(ARGV[2])
if rebuild[1] ~= ARGV[1] or tonumber(rebuild[2]) < number - 1 then
  return 'lost'
end
if tonumber(rebuild[2]) >= number then
  return 'there'
end
write(3)
redis.call('HSET', KEYS[1], 'filled', number)
return 'done'
