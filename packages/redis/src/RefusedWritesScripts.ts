import * as RedisScript from "./RedisScript.ts"

/*
 * An entry of the list of refused writes has the fields `refusal`, `attempts` and `write` (its position in the log),
 * and after them those of the write.
 */

/** KEYS: list. ARGV: newest position, how many. Returns position, refusal, attempts, write, key and operation of each. */
export const list = RedisScript.make(`
local entries = redis.pcall('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])
if entries.err then return entries end
local found = {}
for at, entry in ipairs(entries) do
  local fields = {}
  for i = #entry[2] - 1, 1, -2 do fields[entry[2][i]] = entry[2][i + 1] end
  found[at] = {
    entry[1],
    fields.refusal or false,
    fields.attempts or false,
    fields.write or false,
    fields.key or false,
    fields.operation or false
  }
end
return found
`)

/**
 * Appends a refused write to the log, for whatever version there is by then. KEYS: list, log. ARGV: position, new id
 * of the write, longest log. Returns `Written` and the new position, or why not.
 */
export const requeue = RedisScript.make(`
local entries = redis.pcall('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if entries.err then return entries end
if not entries[1] then return { 'NotFound' } end
local length = redis.pcall('XLEN', KEYS[2])
if type(length) == 'table' then return length end
if length >= tonumber(ARGV[3]) then return { 'Full' } end

local isLeftOut = { refusal = true, attempts = true, write = true, id = true, expectedVersion = true }
local given = entries[1][2]
local write = { 'id', ARGV[2] }
for i = 1, #given, 2 do
  if not isLeftOut[given[i]] then
    write[#write + 1] = given[i]
    write[#write + 1] = given[i + 1]
  end
end
local position = redis.pcall('XADD', KEYS[2], '*', unpack(write))
if type(position) == 'table' then return position end
redis.call('XDEL', KEYS[1], ARGV[1])
return { 'Written', position }
`)
