import { settling } from "./RecordLua.ts"
import * as RedisScript from "./RedisScript.ts"

/** The consumer group of those who read the log for MongoDB. */
export const group = "mongodb"

/** The first position in a claim, and the answer when there is nothing more to claim. */
export const start = "0-0"

/**
 * Takes writes from the log, if the lock is the caller's, and renews the lock: one step, so that a reader that was
 * paused and has lost its lock gets nothing. KEYS: lock, log. ARGV: holder of the lock, milliseconds to keep it,
 * group, consumer, how many (0: only renew), from where (a position: to claim what others have left from there on; or
 * '>' for what nobody has taken yet), and whether a claim counts as a delivery ('1').
 *
 * Returns `Taken`, the length of the log, the writes (position, how often it was delivered, fields) and where to go on:
 * claiming, from there; else, when there was nothing, the position after which to wait. Returns `Lost` when the lock is
 * not the caller's, or when the group is gone: then it is made anew from the start of the log, which holds exactly what
 * was not confirmed, and the caller has to start over.
 *
 * Writes that are gone from the log, since a person deleted them, are confirmed here: they would be claimed for ever.
 */
export const take = RedisScript.make(`
local holder = redis.pcall('GET', KEYS[1])
if type(holder) == 'table' then return holder end
if holder ~= ARGV[1] then return { 'Lost' } end
redis.call('PEXPIRE', KEYS[1], ARGV[2])

local log, group, consumer, count, from = KEYS[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local length = redis.pcall('XLEN', log)
if type(length) == 'table' then return length end
if count == '0' then return { 'Taken', length, {}, from } end

local function startOver(failure)
  if not string.find(failure.err, '^NOGROUP') then return failure end
  local made = redis.pcall('XGROUP', 'CREATE', log, group, '0', 'MKSTREAM')
  if made.err then return made end
  return { 'Lost' }
end

local function byName(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

local taken = {}
if from == '>' then
  local reply = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', log, '>')
  if reply and reply.err then return startOver(reply) end
  if reply then
    for at, entry in ipairs(reply[1][2]) do taken[at] = { entry[1], 1, entry[2] } end
    return { 'Taken', length, taken, from }
  end
  for _, found in ipairs(redis.call('XINFO', 'GROUPS', log)) do
    local fields = byName(found)
    if fields['name'] == group then from = fields['last-delivered-id'] end
  end
  return { 'Taken', length, taken, from }
end

local claim = { 'XAUTOCLAIM', log, group, consumer, '0', from, 'COUNT', count }
if ARGV[7] ~= '1' then claim[#claim + 1] = 'JUSTID' end
local claimed = redis.pcall(unpack(claim))
if claimed.err then return startOver(claimed) end
local next = claimed[1]
for _, pending in ipairs(redis.call('XPENDING', log, group, from, '+', count)) do
  local position, owner, deliveries = pending[1], pending[2], pending[4]
  local entry = redis.call('XRANGE', log, position, position)[1]
  if not entry then
    redis.call('XACK', log, group, position)
  elseif owner == consumer then
    taken[#taken + 1] = { position, deliveries, entry[2] }
  end
end
if next == '0-0' then
  for _, found in ipairs(redis.call('XINFO', 'CONSUMERS', log, group)) do
    local fields = byName(found)
    if fields['name'] ~= consumer and fields['pending'] == 0 then
      redis.call('XGROUP', 'DELCONSUMER', log, group, fields['name'])
    end
  end
end
return { 'Taken', length, taken, next }
`)

/** Functions `refuse`, which returns an error or nothing and may be a script's first write, and `confirm`. */
const leavingTheLog = `
local function refuse(log, refused, position, refusal, attempts, most)
  local entries = redis.call('XRANGE', log, position, position)
  if not entries[1] then return end
  local fields = { 'refusal', refusal, 'attempts', attempts, 'write', position }
  local given = entries[1][2]
  for i = 1, math.min(#given, 100) do fields[#fields + 1] = given[i] end
  local added = redis.pcall('XADD', refused, 'MAXLEN', most, '*', unpack(fields))
  if type(added) == 'table' then return added end
end

local function confirm(log, group, position)
  redis.call('XACK', log, group, position)
  redis.call('XDEL', log, position)
end
`

/**
 * Confirms a write that MongoDB has decided on, and gives the record the state that MongoDB has, if this write is the
 * one that it is pending on. KEYS: hash, tombstone, ids, log, refused. ARGV: group, position, version of the state,
 * whether it has a document ('1'), its JSON text, milliseconds to keep a tombstone, refusal ('': it was applied),
 * attempts, longest list of refused writes, listing.
 *
 * Returns `Older` and does nothing when the mirror has skipped a newer version meanwhile; else `Resolved`.
 */
export const resolve = RedisScript.make(`${settling}${leavingTheLog}
local listingAt = 10
-- A hash that holds another type of value is not ours: its write is confirmed and no more.
local known = redis.pcall('HMGET', KEYS[1], 'pending', 'skipped')
local isShown = known[1] == ARGV[2]
if isShown and tonumber(known[2] or '0') > tonumber(ARGV[3]) then return 'Older' end
if ARGV[7] ~= '' then
  local failure = refuse(KEYS[4], KEYS[5], ARGV[2], ARGV[7], ARGV[8], ARGV[9])
  if failure then return failure end
end
if isShown then
  local failure
  if ARGV[4] == '1' then
    failure = show(ARGV[3], ARGV[5], listingAt)
    if not failure then redis.call('HDEL', KEYS[1], 'pending', 'skipped') end
  elseif ARGV[3] == '0' then
    unlist(listingAt)
    redis.call('DEL', KEYS[1])
  else
    failure = bury(ARGV[3], ARGV[6], listingAt)
  end
  if failure then return failure end
end
confirm(KEYS[4], ARGV[1], ARGV[2])
return 'Resolved'
`)

/**
 * Moves a write whose key cannot be read from the log to the refused writes. KEYS: log, refused. ARGV: group,
 * position, refusal, attempts, longest list of refused writes.
 */
export const reject = RedisScript.make(`${leavingTheLog}
local failure = refuse(KEYS[1], KEYS[2], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if failure then return failure end
confirm(KEYS[1], ARGV[1], ARGV[2])
return 'Resolved'
`)

/** Gives the lock back, if it is the caller's. KEYS: lock. ARGV: its holder. */
export const release = RedisScript.make(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 'Released'
`)
