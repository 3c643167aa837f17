-- Reads states, and who is due. KEYS: the view, the lane, then the buckets asked for, or all where the due are asked for.
-- ARGV: layout, generation, due at most (0: not asked), due until, whether they are counted (1), the buckets' letters in the order
-- of their keys, how many groups; per group the index of its bucket's key and how many members; the members.
-- Returns the view; and, if it is of that generation and whole, the groups' states, the due with their times, their states,
-- and how many are due in all, where that is asked for.
local PORTION = 7000
local view = redis.call('HMGET', KEYS[1], 'layout', 'generation', 'log', 'header', 'pending')
if view[1] ~= ARGV[1] or view[2] ~= ARGV[2] or view[4] ~= view[5] then
  return {view}
end

local states = {}
local group, groups = 8, tonumber(ARGV[7])
local at = group + 2 * groups
for _ = 1, groups do
  local bucket, left = KEYS[tonumber(ARGV[group])], tonumber(ARGV[group + 1])
  group = group + 2
  while left > 0 do
    local portion = math.min(left, PORTION)
    states[#states + 1] = redis.call('HMGET', bucket, unpack(ARGV, at, at + portion - 1))
    at = at + portion
    left = left - portion
  end
end

local due, values, count = {}, {}, 0
local limit = tonumber(ARGV[3])
if limit > 0 then
  due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[4], 'WITHSCORES', 'LIMIT', 0, limit)
  local buckets = {}
  for i = 1, #ARGV[6] do
    buckets[string.byte(ARGV[6], i)] = KEYS[2 + i]
  end
  for i = 1, #due, 2 do
    values[#values + 1] = redis.call('HGET', buckets[string.byte(due[i])], due[i])
  end
  if ARGV[5] == '1' then
    count = redis.call('ZCOUNT', KEYS[2], '-inf', ARGV[4])
  end
end
return {view, states, due, values, count}
