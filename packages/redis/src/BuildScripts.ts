import { reading } from "./BuildEntry.ts"
import { settling } from "./RecordLua.ts"
import * as RedisScript from "./RedisScript.ts"

/*
 * Scripts of a build. The ledger is a hash: `build`, `rules`, `generation` (of the marker when it began; '': there was
 * none), `steps` (a count), `chunks` (the last one), `swapped` (the last that is over), `records` (states that stand
 * aside), and `part/<number>` (where the rest of it begins).
 */

/**
 * KEYS[1] is the ledger, KEYS[2] the lock. ARGV begins with: build, builder, steps that the builder has seen,
 * milliseconds to keep the lock, milliseconds to keep what stands aside.
 *
 * `refusal` tells why the caller may not go on. Fewer steps than it has seen: Redis went back to an older state.
 * `proceed` counts a step; it is to be called after the first write of a script, which may be refused.
 */
const guard = `
local function refusal()
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= ARGV[2] then return 'UnderWay' end
  local known = redis.call('HMGET', KEYS[1], 'build', 'steps')
  if known[1] ~= ARGV[1] or tonumber(known[2]) < tonumber(ARGV[3]) then return 'Lost' end
end

local function proceed()
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return redis.call('HINCRBY', KEYS[1], 'steps', 1)
end
`

/** Keeps the lock. KEYS: lock. ARGV: builder, milliseconds. */
export const renew = RedisScript.make(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 'UnderWay' end
return redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
`)

/** Begins a build in place of another. KEYS: ledger, lock, marker. ARGV: as `guard`, rules, the rests of all parts. */
export const begin = RedisScript.make(`${guard}
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return 'UnderWay' end
local generation = redis.pcall('HGET', KEYS[3], 'generation')
if type(generation) == 'table' then return generation end
redis.call('DEL', KEYS[1])
local made = redis.pcall('HSET', KEYS[1], 'build', ARGV[1], 'rules', ARGV[6], 'generation', generation or '',
  'steps', '0', 'chunks', '0', 'swapped', '0', 'records', '0')
if type(made) == 'table' then return made end
for i = 7, #ARGV do redis.call('HSET', KEYS[1], 'part/' .. (i - 7), ARGV[i]) end
return proceed()
`)

/**
 * Puts states aside and moves their part on. KEYS: ledger, lock, chunk. ARGV: as `guard`, number of the part, where it
 * stood, where its rest begins ('': it has none), number of the chunk, then keys and entries in turn. A call that comes
 * again finds the part moved on and does nothing.
 */
export const stage = RedisScript.make(`${guard}
local refused = refusal()
if refused then return refused end
local part = 'part/' .. ARGV[6]
if redis.call('HGET', KEYS[1], part) ~= ARGV[7] then return redis.call('HGET', KEYS[1], 'steps') end
for i = 10, #ARGV, 2 do
  local written = redis.pcall('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  if type(written) == 'table' then return written end
end
redis.call('PEXPIRE', KEYS[3], ARGV[5])
if ARGV[8] == '' then
  redis.call('HDEL', KEYS[1], part)
else
  redis.call('HSET', KEYS[1], part, ARGV[8])
end
redis.call('HINCRBY', KEYS[1], 'records', (#ARGV - 9) / 2)
redis.call('HSET', KEYS[1], 'chunks', math.max(tonumber(ARGV[9]), tonumber(redis.call('HGET', KEYS[1], 'chunks'))))
return proceed()
`)

/** How many states of a chunk are as they were given. KEYS: chunk. */
export const count = RedisScript.make(`${reading}
local flat = redis.pcall('HGETALL', KEYS[1])
if flat.err then return flat end
local sound = 0
for i = 1, #flat, 2 do
  if isSound(flat[i], flat[i + 1]) then sound = sound + 1 end
end
return sound
`)

/** Whether the build stands, and how many states should stand aside. KEYS: ledger, lock. ARGV: as `guard`. */
export const total = RedisScript.make(`${guard}
return refusal() or redis.call('HGET', KEYS[1], 'records')
`)

/**
 * Functions of scripts over one record, KEYS as RecordLua has it. `look` returns what its hash holds (version, json,
 * pending, skipped) and what its tombstone does, or an error. `put` gives it a state, without `json` a tombstone.
 */
const record = `${settling}
local function look()
  local known = redis.pcall('HMGET', KEYS[1], 'version', 'json', 'pending', 'skipped')
  if known.err then return known end
  local buried = redis.pcall('GET', KEYS[2])
  if type(buried) == 'table' then return buried end
  return known, buried
end

local function put(known, buried, version, json, millis, at)
  if not json then
    if not known[1] and not known[2] and buried == version then return 'Same' end
    return bury(version, millis, at) or 'Written'
  end
  local isSame = known[1] == version and known[2] == json
  if isSame and not KEYS[3] then return 'Same' end
  local failure = show(version, json, at)
  if failure then return failure end
  redis.call('DEL', KEYS[2])
  return isSame and 'Same' or 'Written'
end
`

/**
 * Puts a state that stands aside in the place of what is shown, unless that is newer. Of one version the state counts:
 * what is shown may have been altered. A hash that shows a write which MongoDB has not decided on keeps it, and notes
 * the version as the mirror does.
 *
 * KEYS: hash, tombstone, the sorted set of ids if the mirror is listed, chunk. ARGV: milliseconds to keep a tombstone
 * (0: for ever), key, prefix, id. Returns `Written`, `Same`, `Newer`, `Pending`; `Gone` when it is not in the chunk.
 */
export const swap = RedisScript.make(`${record}${reading}
local entry = redis.pcall('HGET', table.remove(KEYS), ARGV[2])
if not entry then return 'Gone' end
if type(entry) == 'table' then return entry end
local version, texts = read(entry)
for i = 2, #texts do ARGV[#ARGV + 1] = texts[i] end

local known, buried = look()
if known.err then return known end
local shown = tonumber(known[1] or buried or '0') or 0
if shown > tonumber(version) then return 'Newer' end
if known[3] then
  local highest = math.max(shown, tonumber(known[4] or '0') or 0)
  if highest < tonumber(version) then
    local noted = redis.pcall('HSET', KEYS[1], 'skipped', version)
    if type(noted) == 'table' then return noted end
  end
  return 'Pending'
end
return put(known, buried, version, texts[1], ARGV[1], 3)
`)

/** Forgets a chunk that was swapped in. KEYS: ledger, lock, chunk. ARGV: as `guard`, number of the chunk. */
export const drop = RedisScript.make(`${guard}
local refused = refusal()
if refused then return refused end
local size = redis.call('HLEN', KEYS[3])
redis.call('UNLINK', KEYS[3])
redis.call('HINCRBY', KEYS[1], 'records', 0 - size)
redis.call('HSET', KEYS[1], 'swapped', ARGV[6])
return proceed()
`)

const sight = `
local function sightOf(known, buried)
  return (known[1] or '') .. '/' .. redis.sha1hex(known[2] or '') .. '/' .. (buried or '')
end
`

/** What is held of a record, as one text; nothing where a write is pending. KEYS: hash, tombstone. */
export const see = RedisScript.make(`${record}${sight}
local known, buried = look()
if known.err then return known end
if known[3] then return false end
return sightOf(known, buried)
`)

/**
 * Gives a record a state, if it is as it was seen. KEYS: hash, tombstone, ids if the mirror is listed. ARGV: what was
 * seen, version ('': there is to be nothing), whether there is a document ('1'), its JSON text, milliseconds to keep a
 * tombstone, listing. Returns `Written`, `Same`, or `Changed` when it is no more as it was seen.
 */
export const settle = RedisScript.make(`${record}${sight}
local known, buried = look()
if known.err then return known end
if known[3] or sightOf(known, buried) ~= ARGV[1] then return 'Changed' end
if ARGV[2] ~= '' then
  return put(known, buried, ARGV[2], ARGV[3] == '1' and ARGV[4] or nil, ARGV[5], 6)
end
if not known[1] and not known[2] then return 'Same' end
unlist(6)
redis.call('DEL', KEYS[1], KEYS[2])
return 'Written'
`)

/**
 * Ends a build, and says that the mirror has everything. KEYS: ledger, lock, marker. ARGV: as `guard`, a new generation.
 * A marker that is not the one there was at the beginning: the mirror has lost what relays gave it meanwhile.
 */
export const finish = RedisScript.make(`${guard}
local refused = refusal()
if refused then return refused end
local generation = redis.pcall('HGET', KEYS[3], 'generation')
if type(generation) == 'table' then return generation end
if (generation or '') ~= redis.call('HGET', KEYS[1], 'generation') then return 'Lost' end
if not generation then
  local made = redis.pcall('HSET', KEYS[3], 'generation', ARGV[6], 'batches', '0')
  if type(made) == 'table' then return made end
end
redis.call('DEL', KEYS[1])
return 'Finished'
`)

/** Everything that a build calls. */
export const all: ReadonlyArray<RedisScript.RedisScript> = [
  renew,
  begin,
  stage,
  count,
  total,
  swap,
  drop,
  see,
  settle,
  finish
]
