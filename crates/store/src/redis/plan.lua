-- The writes of a batch, from ARGV[first] on: how many states are set, how many are ended, how many operations follow; per
-- operation its command, the index of its key, how many arguments it takes; then the arguments of all, in the same order:
-- (member, value) of the states set, the members of those ended, then what the lanes take, then what the labels take.
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

-- Takes keys out of all labels: nobody knows under which they were. KEYS names the list of labels; a label from which all
-- have gone is struck off it.
local function stray(labels, first, count)
  for _, label in ipairs(redis.call('SMEMBERS', labels)) do
    local key = labels .. ':' .. label
    if redis.call('EXISTS', key) == 0 then
      redis.call('SREM', labels, label)
    else
      for i = first, first + count - 1, PORTION do
        redis.call('ZREM', key, unpack(ARGV, i, math.min(i + PORTION, first + count) - 1))
      end
    end
  end
end

local function write(first)
  local sets, ends, operations = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local operation = first + 3
  local members = operation + 3 * operations
  local at = members
  local fresh = 0
  for _ = 1, operations do
    local command, key, left = ARGV[operation], KEYS[tonumber(ARGV[operation + 1])], tonumber(ARGV[operation + 2])
    operation = operation + 3
    if command == 'LEAVE' then
      -- No member of the batch has an entry in this lane: most often nobody has.
      if redis.call('EXISTS', key) == 1 then
        leave(key, members, members + 2 * sets - 1, 2)
        leave(key, members + 2 * sets, members + 2 * sets + ends - 1, 1)
      end
    elseif command == 'STRAY' then
      -- Who had no state was under no label: most often, where a view is filled, nobody had one.
      if ends > 0 or fresh < sets then
        stray(key, at, left)
      end
      at = at + left
    else
      while left > 0 do
        local portion = math.min(left, PORTION)
        local added = redis.call(command, key, unpack(ARGV, at, at + portion - 1))
        if command == 'HSET' then
          fresh = fresh + added
        end
        at = at + portion
        left = left - portion
      end
    end
  end
end

