import { listing } from "./RecordLua.ts"
import * as RedisScript from "./RedisScript.ts"

/**
 * Changes a record and appends the write to the log, or neither. KEYS: hash, tombstone, ids, log, and the record of
 * the idempotency key if there is one. ARGV: operation, JSON to show, body, id of the write, key, expected version
 * ('': any), headers, whether there is a basis ('1'), its version, its pending position, longest log, digest of the
 * request, milliseconds to keep the idempotency key, listing.
 *
 * Returns a name and what belongs to it: `Written`, position, version; `Repeated`, id, position, version; or why not.
 */
export const accept = RedisScript.make(`${listing}
local listingAt = 14
if KEYS[5] then
  local before = redis.pcall('HMGET', KEYS[5], 'digest', 'id', 'pending', 'version')
  if before.err then return before end
  if before[1] then
    if before[1] ~= ARGV[12] then return { 'KeyReused' } end
    return { 'Repeated', before[2], before[3], before[4] }
  end
end

local length = redis.pcall('XLEN', KEYS[4])
if type(length) == 'table' then return length end
if length >= tonumber(ARGV[11]) then return { 'Full' } end

local known = redis.pcall('HMGET', KEYS[1], 'version', 'json', 'pending')
if known.err then return known end
local version, json, pending = known[1], known[2], known[3]
if not version then
  version = redis.pcall('GET', KEYS[2])
  if type(version) == 'table' then return version end
  version = version or '0'
end
if ARGV[1] == 'create' then
  if json then return { 'Exists' } end
elseif not json then return { 'NotFound' } end
if ARGV[6] ~= '' and tonumber(ARGV[6]) ~= tonumber(version) then return { 'VersionConflict' } end
if ARGV[8] == '1' and (ARGV[9] ~= version or ARGV[10] ~= (pending or '')) then return { 'Changed' } end

local entry = { 'id', ARGV[4], 'key', ARGV[5], 'operation', ARGV[1], 'headers', ARGV[7] }
if ARGV[1] ~= 'delete' then
  entry[#entry + 1] = 'body'
  entry[#entry + 1] = ARGV[3]
end
if ARGV[6] ~= '' then
  entry[#entry + 1] = 'expectedVersion'
  entry[#entry + 1] = ARGV[6]
end
local position = redis.pcall('XADD', KEYS[4], '*', unpack(entry))
if type(position) == 'table' then return position end

redis.call('HSET', KEYS[1], 'version', version, 'pending', position)
redis.call('DEL', KEYS[2])
if ARGV[1] == 'delete' then
  redis.call('HDEL', KEYS[1], 'json')
  unlist(listingAt)
else
  redis.call('HSET', KEYS[1], 'json', ARGV[2])
  list(listingAt)
end
if KEYS[5] then
  redis.call('HSET', KEYS[5], 'digest', ARGV[12], 'id', ARGV[listingAt + 1], 'pending', position, 'version', version)
  redis.call('PEXPIRE', KEYS[5], ARGV[13])
end
return { 'Written', position, version }
`)

/**
 * Reads a part of a listing, as it is at one moment. KEYS: a sorted set. ARGV: min, max, how many, place of the id in
 * a member, what stands before the id in the name of a hash. Returns id, version, json and pending of each record.
 */
export const page = RedisScript.make(`
local members = redis.pcall('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
if members.err then return members end
local records = {}
for at, member in ipairs(members) do
  local id = string.sub(member, tonumber(ARGV[4]) + 1)
  local fields = redis.pcall('HMGET', ARGV[5] .. id, 'version', 'json', 'pending')
  if fields.err then return fields end
  records[at] = { id, fields[1], fields[2], fields[3] }
end
return records
`)
