-- Puts the rebuilt view in the place of the one that it was begun over. KEYS: the view, the rebuild, the garbage.
-- ARGV: layout, generation, log, header, how many portions were filled.
local view = redis.call('HMGET', KEYS[1], 'generation', 'header', 'log')
if view[1] == ARGV[2] and view[2] == ARGV[4] and view[3] == ARGV[3] then
  return 'there'
end
local rebuild = redis.call('HMGET', KEYS[2], 'generation', 'log', 'filled', 'over')
if rebuild[1] ~= ARGV[2] or rebuild[2] ~= ARGV[3] or rebuild[3] ~= ARGV[5]
  or rebuild[4] ~= (view[1] or '') .. '/' .. (view[2] or '') then
  return 'lost'
end
if view[1] then
  redis.call('SADD', KEYS[3], view[1])
end
redis.call('HSET', KEYS[1], 'layout', ARGV[1], 'generation', ARGV[2], 'log', ARGV[3], 'header', ARGV[4], 'pending', ARGV[4])
redis.call('DEL', KEYS[2])
return 'done'
