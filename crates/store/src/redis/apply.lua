-- Moves a view from one header to another. KEYS: the view, then those of the plan.
-- ARGV: layout, generation, log, header expected, header to reach; the plan.
-- Redis does not roll back a script that fails midway. So `pending` is written first and `header` last: while they differ,
-- the view is half written, and nobody reads it. The same apply again mends it, and no other: what that one leaves out may be
-- what this one had begun (who came under a label, and has left it since). Whoever comes anew finds no view, and rebuilds it.
local view = redis.call('HMGET', KEYS[1], 'layout', 'generation', 'log', 'header', 'pending')
if view[1] ~= ARGV[1] or view[2] ~= ARGV[2] or view[3] ~= ARGV[3] then
  return {'refused', view}
end
if view[4] == ARGV[5] then
  return {'there', view}
end
if view[4] ~= ARGV[4] or (view[5] and view[5] ~= view[4] and view[5] ~= ARGV[5]) then
  return {'refused', view}
end
redis.call('HSET', KEYS[1], 'pending', ARGV[5])
write(6)
redis.call('HSET', KEYS[1], 'header', ARGV[5])
return {'done', view}
