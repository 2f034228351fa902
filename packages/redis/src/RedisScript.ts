import { createHash } from "node:crypto"
import { Effect, Either } from "effect"
import { type Command, RedisConnection, type Replies, type Reply } from "./RedisConnection.ts"
import { RedisError } from "./RedisError.ts"

/** A Lua script, called by the hash of its text. */
export interface RedisScript {
  readonly text: string
  /** SHA-1 in hex, as EVALSHA wants it. */
  readonly sha: string
}

export const make = (text: string): RedisScript => ({
  text,
  sha: createHash("sha1").update(text).digest("hex")
})

/** The command that calls a script. */
export const call = (
  script: RedisScript,
  keys: ReadonlyArray<string>,
  values: ReadonlyArray<string>
): Command => ["EVALSHA", script.sha, String(keys.length), ...keys, ...values]

/** Loads scripts, so that they can be called. Redis forgets them when it restarts. */
export const load = (scripts: ReadonlyArray<RedisScript>): Effect.Effect<void, RedisError, RedisConnection> =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection
    const replies = yield* redis.pipeline(scripts.map(({ text }) => ["SCRIPT", "LOAD", text]))
    yield* Effect.all(replies, { discard: true })
  })

/** How often everything is sent again, because scripts went missing meanwhile. */
const reloads = 2

const isScriptMissing = (reply: Replies[number]): boolean =>
  Either.isLeft(reply) && reply.left.detail === "NOSCRIPT"

/**
 * Sends calls of scripts in one round trip. When Redis has forgotten the scripts, they are loaded and all calls
 * are sent again: only for scripts that do no harm twice.
 */
export const callAll = (
  scripts: ReadonlyArray<RedisScript>,
  calls: ReadonlyArray<Command>
): Effect.Effect<Replies, RedisError, RedisConnection> =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection
    for (let reloaded = 0; reloaded <= reloads; reloaded++) {
      const replies = yield* redis.pipeline(calls)
      if (!replies.some(isScriptMissing)) return replies
      yield* load(scripts)
    }
    return yield* new RedisError({ reason: "Unavailable", server: redis.server, detail: "NOSCRIPT" })
  })

/** Calls one script, and loads it before if need be. A call that Redis could not take for want of it did nothing. */
export const run = (
  script: RedisScript,
  keys: ReadonlyArray<string>,
  values: ReadonlyArray<string>
): Effect.Effect<Reply, RedisError, RedisConnection> =>
  Effect.flatMap(callAll([script], [call(script, keys, values)]), ([reply]) =>
    reply === undefined ? Effect.dieMessage("a pipeline has a reply for each command") : reply
  )
