import { Key, MirrorView } from "@twinbox/outbox"
import { Array as Arr, Chunk, type Context, Effect, Option, Stream } from "effect"
import * as MirrorKeys from "./MirrorKeys.ts"
import { RedisConnection, type Reply } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import * as RedisMirror from "./RedisMirror.ts"
import * as RedisOutboxKeys from "./RedisOutboxKeys.ts"
import * as RedisScript from "./RedisScript.ts"

export interface Options {
  /** Which mirror: that of twins, or that of originals. */
  readonly view: MirrorView.MirrorView["view"]
  /** Name of the sink. Default: the one that `RedisMirror` gives. */
  readonly name?: string
  /** What stands before the colon of a hash's name, as the mirror has it. */
  readonly prefixOf?: (stream: string) => string
}

/** What stands before the colon of a hash's name where a mirror is given nothing else. */
export const defaultPrefix = (view: Options["view"]): ((stream: string) => string) =>
  view === "original" ? RedisOutboxKeys.defaultPrefix : (stream) => stream

/** Names that one step of a scan looks at, roughly. */
const scanCount = 1_000

const look = `
local function look(name)
  local found = redis.pcall('HMGET', name, 'version', 'json')
  if found.err then return '0', redis.sha1hex('') end
  if not found[2] then return nil end
  return found[1] or '0', redis.sha1hex(found[2])
end
`

/** Version and digest of each hash in turn; two empty texts where there is none. KEYS: hashes. */
const showAll = RedisScript.make(`${look}
local shown = {}
for _, name in ipairs(KEYS) do
  local version, digest = look(name)
  shown[#shown + 1] = version or ''
  shown[#shown + 1] = digest or ''
end
return shown
`)

/** The lines of which the digest is made. KEYS: hashes. */
const linesOf = RedisScript.make(`${look}
local lines = {}
for at, name in ipairs(KEYS) do
  local version, digest = look(name)
  lines[at] = version and version .. ' ' .. digest .. '\\n' or '-\\n'
end
return redis.sha1hex(table.concat(lines))
`)

const unavailable = (mirror: string) => (cause: RedisError) =>
  new MirrorView.MirrorUnavailable({ mirror, cause })

const toShown = (version: Reply, digest: Reply): MirrorView.Shown | undefined => {
  const number = Number(version)
  return digest === ""
    ? undefined
    : { version: Number.isSafeInteger(number) ? number : 0, digest: String(digest) }
}

const toTexts = (reply: Reply): ReadonlyArray<string> => (Array.isArray(reply) ? reply.map(String) : [])

/** A pattern of Redis that only the text itself matches. */
const literal = (text: string): string => text.replaceAll(/[\\*?[\]]/g, "\\$&")

/** What a mirror in Redis shows. It reads hashes alone, and no tombstones. */
export const make = (options: Options): Effect.Effect<MirrorView.MirrorView, never, RedisConnection> =>
  Effect.map(RedisConnection, (redis: Context.Tag.Service<RedisConnection>) => {
    const isOriginals = options.view === "original"
    const name = options.name ?? (isOriginals ? RedisMirror.defaultOriginalsName : RedisMirror.defaultName)
    const prefixOf = options.prefixOf ?? defaultPrefix(options.view)
    const keys = MirrorKeys.make(prefixOf)

    const run = (script: RedisScript.RedisScript, of: ReadonlyArray<Key.Key>) =>
      RedisScript.run(script, of.map(keys.data), []).pipe(
        Effect.provideService(RedisConnection, redis),
        Effect.mapError(unavailable(name))
      )

    const scan = (stream: string, cursor: string) => {
      const prefix = `${prefixOf(stream)}:`
      const command = [
        "SCAN",
        cursor,
        "MATCH",
        `${literal(prefix)}*`,
        "COUNT",
        String(scanCount),
        "TYPE",
        "hash"
      ]
      return Effect.map(Effect.mapError(redis.command(command), unavailable(name)), (reply) => {
        const [next = "0", found = []] = reply as readonly [string, ReadonlyArray<string>]
        const page = found.map((dataKey) => Key.make(stream, dataKey.slice(prefix.length)))
        return [Chunk.of(page), next === "0" ? Option.none() : Option.some(next)] as const
      })
    }

    return {
      name,
      view: options.view,
      digest: (of) => Effect.map(run(linesOf, of), String),
      shown: (of) =>
        of.length === 0
          ? Effect.succeed([])
          : Effect.map(run(showAll, of), (reply) =>
              Arr.chunksOf(toTexts(reply), 2).map(([version = "", digest = ""]) => toShown(version, digest))
            ),
      keys: (stream) => Stream.paginateChunkEffect("0", (cursor) => scan(stream, cursor))
    }
  })
