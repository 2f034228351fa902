import { settling } from "./RecordLua.ts"
import * as RedisScript from "./RedisScript.ts"

/**
 * Leaves the script unless the given version is newer than the known one. A key has either a hash or a tombstone,
 * never both: the scripts see to it. `buried` is what the tombstone holds, if it was needed.
 *
 * A hash with `pending` shows a write that MongoDB has not decided on: only the messages that come of that write, and
 * newer ones with them, replace it. The version of any other is noted as `skipped`.
 *
 * Every write and every first read is a `pcall` whose error is returned as it is: Redis 6.2 would wrap a raised one
 * and hide its code. Lua's numbers are doubles, exact for every safe integer; what is stored is the given text.
 */
const leaveUnlessNewer = `
local buried = false
local known = redis.pcall('HMGET', KEYS[1], 'version', 'pending', 'skipped')
if known.err then return known end
local version, pending, skipped = known[1], known[2], known[3]
if not version then
  version = redis.pcall('GET', KEYS[2])
  buried = version
end
if version then
  if type(version) == 'table' then return version end
  local number = tonumber(version)
  if not number then return redis.error_reply('VERSION what is stored here is no version') end
  if number >= tonumber(ARGV[1]) then return 0 end
end
local listingAt = 4 + tonumber(ARGV[3] or '0')
if pending then
  local isDecided = false
  for i = 4, listingAt - 1 do isDecided = isDecided or ARGV[i] == pending end
  local highest = tonumber(skipped or '0')
  if not isDecided or highest > tonumber(ARGV[1]) then
    if highest < tonumber(ARGV[1]) then
      local noted = redis.pcall('HSET', KEYS[1], 'skipped', ARGV[1])
      if type(noted) == 'table' then return noted end
    end
    return 0
  end
end
`

/**
 * KEYS: hash, tombstone, and the sorted set of ids if the mirror is listed. ARGV: version, JSON text; of originals also
 * the number of remote writes that the messages come of, their positions, and the listing. Returns 1 when it was
 * written, 0 when it was old.
 */
export const upsert = RedisScript.make(`${settling}${leaveUnlessNewer}
local failure = show(ARGV[1], ARGV[2], listingAt)
if failure then return failure end
if pending then redis.call('HDEL', KEYS[1], 'pending', 'skipped') end
if buried then redis.call('DEL', KEYS[2]) end
return 1
`)

/** As above, with milliseconds to keep the tombstone (0: for ever) in place of the JSON text. Returns 1 or 0 as above. */
export const bury = RedisScript.make(`${settling}${leaveUnlessNewer}
local failure = bury(ARGV[1], ARGV[2], listingAt)
if failure then return failure end
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
