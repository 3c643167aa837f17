-- Lists who is under a label, in the order of their keys, and says how many there are. KEYS: the view, the label.
-- ARGV: layout, generation, from where ('-', or '(' and the key after which), at most.
-- Returns the view; and, if it is of that generation and whole, the number of all and the keys.
local view = redis.call('HMGET', KEYS[1], 'layout', 'generation', 'log', 'header', 'pending')
if view[1] ~= ARGV[1] or view[2] ~= ARGV[2] or view[4] ~= view[5] then
  return {view}
end
local members = {}
if ARGV[4] ~= '0' then
  members = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[3], '+', 'LIMIT', 0, ARGV[4])
end
return {view, redis.call('ZCARD', KEYS[2]), members}
