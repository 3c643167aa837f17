-- The writes of a batch, from ARGV[first] on: how many states are set, how many are ended, how many operations follow; per
-- operation its command, the index of its key, how many arguments it takes; then the arguments of all, in the same order:
-- (member, value) of the states set, the members of those ended, then what the lanes take.
-- Each write may be repeated. Arguments go in portions, because unpack() has a limit (8,000); an even number keeps pairs whole.
local PORTION = 7000

local function leave(lane, first, last, step)
  local members, count = {}, 0
  for i = first, last, step do
    count = count + 1
    members[count] = ARGV[i]
    if count == PORTION or i + step > last then
      redis.call('ZREM', lane, unpack(members, 1, count))
      count = 0
    end
  end
end

local function write(first)
  local sets, ends, operations = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local operation = first + 3
  local members = operation + 3 * operations
  local at = members
  for _ = 1, operations do
    local command, key, left = ARGV[operation], KEYS[tonumber(ARGV[operation + 1])], tonumber(ARGV[operation + 2])
    operation = operation + 3
    if command == 'LEAVE' then
      -- No member of the batch has an entry in this lane: most often nobody has.
      if redis.call('EXISTS', key) == 1 then
        leave(key, members, members + 2 * sets - 1, 2)
        leave(key, members + 2 * sets, members + 2 * sets + ends - 1, 1)
      end
    else
      while left > 0 do
        local portion = math.min(left, PORTION)
        redis.call(command, key, unpack(ARGV, at, at + portion - 1))
        at = at + portion
        left = left - portion
      end
    end
  end
end

