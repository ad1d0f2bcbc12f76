-- One vote in Redis. Keys: the match's voters, teams, cells, countries, feed; arguments: voter, team, cell, country.
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
redis.call('HINCRBY', KEYS[3], ARGV[3] .. ':' .. ARGV[2], 1)
redis.call('HINCRBY', KEYS[4], ARGV[4] .. ':' .. ARGV[2], 1)
redis.call('PUBLISH', KEYS[5], ARGV[2])
return 1
