import * as RedisScript from "./RedisScript.ts"

/**
 * Leaves the script unless the given version is newer than the known one. A key has either a hash or a tombstone,
 * never both: the scripts see to it. `buried` is what the tombstone holds, if it was needed.
 *
 * Every write and every first read is a `pcall` whose error is returned as it is: Redis 6.2 would wrap a raised one
 * and hide its code. Lua's numbers are doubles, exact for every safe integer; what is stored is the given text.
 */
const leaveUnlessNewer = `
local buried = false
local known = redis.pcall('HGET', KEYS[1], 'version')
if not known then
  known = redis.pcall('GET', KEYS[2])
  buried = known
end
if known then
  if type(known) == 'table' then return known end
  local number = tonumber(known)
  if not number then return redis.error_reply('VERSION what is stored here is no version') end
  if number >= tonumber(ARGV[1]) then return 0 end
end
`

/** KEYS: hash, tombstone. ARGV: version, JSON text. Returns 1 when it was written, 0 when it was old. */
export const upsert = RedisScript.make(`${leaveUnlessNewer}
local written = redis.pcall('HSET', KEYS[1], 'version', ARGV[1], 'json', ARGV[2])
if type(written) == 'table' then return written end
if buried then redis.call('DEL', KEYS[2]) end
return 1
`)

/** KEYS: hash, tombstone. ARGV: version, milliseconds to keep the tombstone (0: for ever). Returns 1 or 0 as above. */
export const bury = RedisScript.make(`${leaveUnlessNewer}
local kept
if ARGV[2] == '0' then
  kept = redis.pcall('SET', KEYS[2], ARGV[1])
else
  kept = redis.pcall('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
if kept.err then return kept end
redis.call('DEL', KEYS[1])
return 1
`)

/**
 * Counts a batch in the marker. KEYS: marker. ARGV: the generation that the caller knows, and the highest count
 * that it has seen of it. Returns generation and count; nothing when the mirror is not ready.
 *
 * A count below what was seen already means that Redis went back to an older state (a snapshot, a replica that
 * lagged behind): the marker is deleted, so that everybody notices.
 */
export const countBatch = RedisScript.make(`
local marker = redis.pcall('HMGET', KEYS[1], 'generation', 'batches')
if marker.err then return marker end
if not marker[1] then return {} end
if marker[1] == ARGV[1] and (tonumber(marker[2]) or 0) < tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[1])
  return {}
end
local count = redis.pcall('HINCRBY', KEYS[1], 'batches', 1)
if type(count) == 'table' then return count end
return { marker[1], count }
`)

/** Everything that a mirror calls. */
export const all: ReadonlyArray<RedisScript.RedisScript> = [upsert, bury, countBatch]
