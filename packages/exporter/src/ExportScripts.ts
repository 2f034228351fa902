import { RedisScript } from "@twinbox/redis"
import { arrows } from "./ExportState.ts"

/*
 * KEYS[1] is the id of the export; the other names are put together from it as in ExportKeys. Times are those of
 * Redis, in milliseconds since the epoch: clocks of instances differ.
 *
 * A call that changes something is refused for want of memory at its first write or not at all. So scripts that must
 * go through begin with a write that needs no memory (PEXPIRE), and the others return the error of their first write
 * as it is: Redis 6.2 would wrap a raised one and hide its code.
 */

const arrowsInLua = Object.entries(arrows)
  .map(([from, to]) => `${from} = { ${to.map((state) => `${state} = true`).join(", ")} }`)
  .join(", ")

const common = `
local arrows = { ${arrowsInLua} }

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function segment(id, index)
  if index == 0 then return id .. '-data' end
  return id .. '-data-' .. index
end

local function keepFor(key, millis)
  if redis.call('PTTL', key) < millis then redis.call('PEXPIRE', key, millis) end
end

-- Puts an export at a time in a list whose key lives at least as long.
local function enter(list, id, time, millis)
  redis.call('ZADD', list, time, id)
  keepFor(list, millis)
end

local function expireAll(id, segments, millis)
  redis.call('PEXPIRE', id, millis)
  redis.call('PEXPIRE', id .. '-meta', millis)
  redis.call('PEXPIRE', id .. '-live', millis)
  for index = 0, segments - 1 do redis.call('PEXPIRE', segment(id, index), millis) end
end

local function leave(id, owner, topic)
  redis.call('ZREM', 'exports-running', id)
  if owner then redis.call('ZREM', 'exports-running:' .. owner, id) end
  if topic then redis.call('ZREM', 'exports-live:' .. topic, id) end
end

-- Ends an export, whatever memory there is.
local function conclude(id, state, reason, checksum)
  local meta = id .. '-meta'
  local known = redis.call('HMGET', meta, 'owner', 'expiry', 'segments', 'topic')
  local owner, expiry, topic = known[1], tonumber(known[2] or '0'), known[4]
  redis.call('PEXPIRE', id, math.max(expiry, 1))
  leave(id, owner, topic)
  if not owner then return end
  local now = clock()
  redis.call('SET', id, state, 'PX', expiry)
  redis.call('HSET', meta, 'endedAt', now)
  if reason ~= '' then redis.call('HSET', meta, 'error', reason) end
  if checksum ~= '' then redis.call('HSET', meta, 'checksum', checksum) end
  redis.call('DEL', id .. '-live')
  expireAll(id, tonumber(known[3]), expiry)
  enter('exports', id, now + expiry, expiry)
  enter('exports:' .. owner, id, now + expiry, expiry)
end

-- State, milliseconds left, time, and metadata; nothing when there is no such export.
local function describe(id)
  local state = redis.pcall('GET', id)
  if not state or type(state) == 'table' then return {} end
  return { state, redis.call('PTTL', id), clock(), redis.call('HGETALL', id .. '-meta') }
end

local id = KEYS[1]
`

const script = (text: string) => RedisScript.make(`${common}${text}`)

/**
 * ARGV: owner, topic ('': none), how many may run of this owner, of all, heartbeat limit and running expiry in ms, then
 * names and values of the metadata. Returns `Created`, `Exists`, `TooManyOfOwner` or `TooMany`.
 */
export const create = script(`
local owner, topic, limit, expiry = ARGV[1], ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6])
local now = clock()
local alive = '(' .. now
if redis.call('ZCOUNT', 'exports-running:' .. owner, alive, '+inf') >= tonumber(ARGV[3]) then
  return { 'TooManyOfOwner' }
end
if redis.call('ZCOUNT', 'exports-running', alive, '+inf') >= tonumber(ARGV[4]) then return { 'TooMany' } end
local made = redis.pcall('SET', id, 'CREATED', 'PX', expiry, 'NX')
if not made then return { 'Exists' } end
if made.err then return made end
local meta = id .. '-meta'
redis.call('HSET', meta, 'owner', owner, 'bytes', 0, 'records', 0, 'segments', 0, 'createdAt', now,
  'heartbeatAt', now, unpack(ARGV, 7))
if topic ~= '' then
  redis.call('HSET', meta, 'topic', topic)
  enter('exports-live:' .. topic, id, now + limit, expiry)
end
redis.call('PEXPIRE', meta, expiry)
enter('exports-running', id, now + limit, expiry)
enter('exports-running:' .. owner, id, now + limit, expiry)
enter('exports', id, now + expiry, expiry)
enter('exports:' .. owner, id, now + expiry, expiry)
return { 'Created' }
`)

/** Leaves the script unless the export runs and ARGV[1] is the token of its writer. */
const writersOnly = `
local meta = id .. '-meta'
local state = redis.pcall('GET', id)
if not state then return { 'Gone' } end
if type(state) == 'table' then return state end
if not arrows[state].CANCELLED then return { 'Ended', state } end
if redis.call('HGET', meta, 'token') ~= ARGV[1] then return { 'Gone' } end
`

/** ARGV: token. Makes it PENDING. Returns `Done`, `Gone`, or `Ended` and the state. */
export const begin = script(`${writersOnly}
if state == 'PENDING' then return { 'Done' } end
local set = redis.pcall('SET', id, 'PENDING', 'KEEPTTL')
if set.err then return set end
redis.call('HSET', meta, 'startedAt', clock())
return { 'Done' }
`)

/**
 * Appends bytes, once: an append whose answer was lost can be sent again. ARGV: token, bytes before it, records with
 * it, running expiry in ms, the bytes. Returns `Done`, `Gone`, `Lost` when the data is not as long as it should be, or
 * `Ended` and the state.
 */
export const append = script(`${writersOnly}
if state ~= 'PENDING' then return { 'Gone' } end
local known = redis.call('HMGET', meta, 'bytes', 'segments', 'segmentBytes')
local bytes, segments, segmentBytes = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
local offset, size = tonumber(ARGV[2]), #ARGV[5]
if bytes == offset + size then return { 'Done' } end
if bytes ~= offset then return { 'Lost' } end
local at = 1
while at <= size do
  local index = math.floor(bytes / segmentBytes)
  local before = bytes - index * segmentBytes
  local part = string.sub(ARGV[5], at, at + segmentBytes - before - 1)
  local key = segment(id, index)
  local length = redis.pcall('APPEND', key, part)
  if type(length) == 'table' then return length end
  if length == #part then redis.call('PEXPIRE', key, ARGV[4]) end
  if length ~= before + #part then return { 'Lost' } end
  at = at + #part
  bytes = bytes + #part
  segments = math.max(segments, index + 1)
end
redis.call('HSET', meta, 'bytes', bytes, 'segments', segments, 'records', ARGV[3])
return { 'Done' }
`)

/**
 * Asks how the export is, and with ARGV[2] = '1' says that its process lives. ARGV: token, whether to, heartbeat limit
 * and running expiry in ms. Returns `Running`, `Finishing`, `Gone`, or `Ended` and the state.
 */
export const beat = script(`${writersOnly}
local known = redis.call('HMGET', meta, 'owner', 'segments', 'topic', 'finishing')
if ARGV[2] == '1' then
  local now, limit, expiry = clock(), tonumber(ARGV[3]), tonumber(ARGV[4])
  local owner, topic = known[1], known[3]
  expireAll(id, tonumber(known[2]), expiry)
  redis.call('HSET', meta, 'heartbeatAt', now)
  if topic and redis.call('ZSCORE', 'exports-live:' .. topic, id) then
    enter('exports-live:' .. topic, id, now + limit, expiry)
  end
  enter('exports-running', id, now + limit, expiry)
  enter('exports-running:' .. owner, id, now + limit, expiry)
  enter('exports', id, now + expiry, expiry)
  enter('exports:' .. owner, id, now + expiry, expiry)
end
if known[4] then return { 'Finishing' } end
return { 'Running' }
`)

/**
 * Ends an export. ARGV: token ('': anybody's), state, reason, checksum. Returns `Done`, `Gone`, or `Ended` and the
 * state that it has ended with before.
 */
export const finish = script(`
local state = redis.pcall('GET', id)
if not state then return { 'Gone' } end
if type(state) == 'table' then return state end
if not arrows[state].CANCELLED then return { 'Ended', state } end
if not arrows[state][ARGV[2]] then return { 'Gone' } end
if ARGV[1] ~= '' and redis.call('HGET', id .. '-meta', 'token') ~= ARGV[1] then return { 'Gone' } end
conclude(id, ARGV[2], ARGV[3], ARGV[4])
return { 'Done' }
`)

/** Asks the writer of a live export to come to its end. Returns `Done`, `NotLive`, `Gone`, or `Ended` and the state. */
export const requestFinish = script(`
local state = redis.pcall('GET', id)
if not state then return { 'Gone' } end
if type(state) == 'table' then return state end
if not arrows[state].CANCELLED then return { 'Ended', state } end
if redis.call('HEXISTS', id .. '-meta', 'topic') == 0 then return { 'NotLive' } end
redis.call('PEXPIRE', id, redis.call('PTTL', id))
redis.call('HSET', id .. '-meta', 'finishing', 1)
return { 'Done' }
`)

/** State, ms left, time and metadata of an export; nothing when there is none. */
export const status = script(`return describe(id)`)

/** The same of the exports in a list, those that live longest first. KEYS: the list. ARGV: how many at most. */
export const list = script(`
redis.call('ZREMRANGEBYSCORE', id, '-inf', clock())
local found = {}
for _, one in ipairs(redis.call('ZREVRANGE', id, 0, ARGV[1] - 1)) do
  local described = describe(one)
  if described[1] then found[#found + 1] = { one, unpack(described) } else redis.call('ZREM', id, one) end
end
return found
`)

/** Marks exports whose heartbeat has ended. KEYS: none but a name. ARGV: how many at most. Returns their ids. */
export const sweep = script(`
local marked = {}
local silent = redis.call('ZRANGEBYSCORE', 'exports-running', '-inf', clock(), 'LIMIT', 0, ARGV[1])
for _, one in ipairs(silent) do
  local state = redis.pcall('GET', one)
  if state and type(state) == 'string' and arrows[state].FAILED then
    conclude(one, 'FAILED', 'ProcessEnded', '')
    marked[#marked + 1] = one
  else
    leave(one)
  end
end
return { #silent, marked }
`)

/**
 * Hands live records to an export that takes a topic, all or none. ARGV: topic, how many may wait, then id, version and
 * JSON text ('': deleted) of each record. Returns `Done`, `Gone` when the export takes none, or `Failed` and the reason
 * when this has ended it.
 */
export const offer = script(`
local topic, waiting = ARGV[1], id .. '-live'
local until_ = redis.call('ZSCORE', 'exports-live:' .. topic, id)
if not until_ then return { 'Gone' } end
local state = redis.pcall('GET', id)
if type(state) ~= 'string' or not arrows[state].CANCELLED then
  redis.call('ZREM', 'exports-live:' .. topic, id)
  return { 'Gone' }
end
local function fail(reason)
  conclude(id, 'FAILED', reason, '')
  return { 'Failed', reason }
end
-- It would miss these records and never know.
if tonumber(until_) <= clock() then return fail('ProcessEnded') end
local held = redis.pcall('XLEN', waiting)
if type(held) == 'table' then return fail('RedisRefused') end
if held + (#ARGV - 2) / 3 > tonumber(ARGV[2]) then return fail('TooSlow') end
for at = 3, #ARGV, 3 do
  local added = redis.pcall('XADD', waiting, '*', 'id', ARGV[at], 'version', ARGV[at + 1], 'json', ARGV[at + 2])
  if type(added) == 'table' then return fail('RedisFull') end
end
redis.call('PEXPIRE', waiting, redis.call('PTTL', id))
return { 'Done' }
`)

/** Everything that is called through the shared connection. */
export const all: ReadonlyArray<RedisScript.RedisScript> = [
  create,
  begin,
  beat,
  finish,
  requestFinish,
  status,
  list,
  sweep,
  offer
]
