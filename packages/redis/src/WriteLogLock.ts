import { Duration, Effect } from "effect"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import * as RedisScript from "./RedisScript.ts"
import * as WriteLogScripts from "./WriteLogScripts.ts"

/** Patience of who stops with a Redis that hangs. */
const releaseWithin = Duration.millis(200)

/** Takes the lock if nobody has it; taking writes from the log renews it. */
export const acquire = (
  lock: string,
  holder: string,
  lockMillis: number
): Effect.Effect<boolean, RedisError, RedisConnection> =>
  Effect.flatMap(RedisConnection, (redis) =>
    Effect.map(
      redis.command(["SET", lock, holder, "NX", "PX", String(lockMillis)]),
      (reply) => reply === "OK"
    )
  )

/** Gives the lock back, so that the next one need not wait; when that fails or takes long, it ends by itself. */
export const release = (lock: string, holder: string): Effect.Effect<void, never, RedisConnection> =>
  RedisScript.run(WriteLogScripts.release, [lock], [holder]).pipe(
    // Finalizers cannot be interrupted, and so would wait for what their time limit gave up.
    Effect.interruptible,
    Effect.timeout(releaseWithin),
    Effect.ignore
  )
