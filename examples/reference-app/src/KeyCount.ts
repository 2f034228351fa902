import type { RedisConnection, RedisError } from "@twinbox/redis"
import { type Context, Effect } from "effect"

/** Keys that Redis looks at in one call: few enough to delay nobody else. */
const step = "1000"

/**
 * Counts the keys of a pattern exactly. SCAN may give a key twice, so they are gathered: memory grows with
 * their number. Source: https://redis.io/docs/latest/commands/scan/
 */
export const countKeys = (
  redis: Context.Tag.Service<RedisConnection.RedisConnection>,
  pattern: string
): Effect.Effect<number, RedisError.RedisError> =>
  Effect.gen(function* () {
    const found = new Set<string>()
    let cursor = "0"
    do {
      const reply = yield* redis.command(["SCAN", cursor, "MATCH", pattern, "COUNT", step])
      const [next, keys] = Array.isArray(reply) ? (reply as ReadonlyArray<RedisConnection.Reply>) : []
      for (const key of Array.isArray(keys) ? keys : []) found.add(String(key))
      cursor = String(next ?? "0")
    } while (cursor !== "0")
    return found.size
  })
