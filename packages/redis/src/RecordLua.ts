/*
 * Pieces of the scripts that change a record. KEYS[1] is its hash, KEYS[2] its tombstone, KEYS[3] the sorted set of
 * ids. Where KEYS[3] is missing, nothing is listed.
 *
 * The last values of such a script describe the listing, from a place `at`: prefix, id, then names and values of
 * indexes in turn. A field `index:<name>` of the hash remembers what stands in the index, so that it can be taken
 * out. Names of indexes are put together in the scripts: that is why Redis Cluster is not supported.
 */

/** Functions `list` and `unlist`. To be called after the first write of a script, which may be refused. */
export const listing = `
local function clearIndexes(at)
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 6) == 'index:' then
      local member = redis.call('HGET', KEYS[1], field) .. '\\0' .. ARGV[at + 1]
      redis.call('ZREM', field .. ':{' .. ARGV[at] .. '}', member)
      redis.call('HDEL', KEYS[1], field)
    end
  end
end

local function unlist(at)
  if not KEYS[3] then return end
  clearIndexes(at)
  redis.call('ZREM', KEYS[3], ARGV[at + 1])
end

local function list(at)
  if not KEYS[3] then return end
  clearIndexes(at)
  redis.call('ZADD', KEYS[3], 0, ARGV[at + 1])
  for i = at + 2, #ARGV, 2 do
    local field = 'index:' .. ARGV[i]
    redis.call('ZADD', field .. ':{' .. ARGV[at] .. '}', 0, ARGV[i + 1] .. '\\0' .. ARGV[at + 1])
    redis.call('HSET', KEYS[1], field, ARGV[i + 1])
  end
end
`

/**
 * Functions that give a record the state that MongoDB has; they return an error, or nothing.
 *
 * The first write of each is a `pcall` whose error is returned as it is: Redis 6.2 would wrap a raised one and hide
 * its code. After a first write, Redis refuses none for want of memory.
 */
export const settling = `
${listing}
local function show(version, json, at)
  local written = redis.pcall('HSET', KEYS[1], 'version', version, 'json', json)
  if type(written) == 'table' then return written end
  list(at)
end

local function bury(version, millis, at)
  local kept
  if millis == '0' then
    kept = redis.pcall('SET', KEYS[2], version)
  else
    kept = redis.pcall('SET', KEYS[2], version, 'PX', millis)
  end
  if kept.err then return kept end
  unlist(at)
  redis.call('DEL', KEYS[1])
end
`

/** The values that describe a listing. */
export const listingValues = (
  prefix: string,
  id: string,
  pairs: ReadonlyArray<string>
): ReadonlyArray<string> => [prefix, id, ...pairs]
