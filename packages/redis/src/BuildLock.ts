import { MirrorBuild } from "@twinbox/outbox"
import { Duration, Effect, Fiber, type Scope } from "effect"
import * as BuildScripts from "./BuildScripts.ts"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import * as RedisScript from "./RedisScript.ts"
import * as WriteLogLock from "./WriteLogLock.ts"

export interface Options {
  readonly mirror: string
  readonly lock: string
  readonly builder: string
  readonly leaseMillis: number
}

/** Heartbeats in one lease: two may be lost without harm. */
const beatsPerLease = 3

/** What Redis says of a key that does not end by itself. */
const endless = -1

const lookAgain = Duration.millis(100)

/** Milliseconds until the lock ends by itself. */
const remaining = (lock: string) =>
  Effect.flatMap(RedisConnection, (redis) => Effect.map(redis.command(["PTTL", lock]), Number))

/** Takes the lock, once that of somebody who is dead has ended. One who lives makes it last longer again. */
export const acquire = ({
  builder,
  leaseMillis,
  lock,
  mirror
}: Options): Effect.Effect<void, RedisError | MirrorBuild.RebuildUnderWay, RedisConnection> =>
  Effect.gen(function* () {
    let least = Number.POSITIVE_INFINITY
    while (!(yield* WriteLogLock.acquire(lock, builder, leaseMillis))) {
      const left = yield* remaining(lock)
      if (left > least || left === endless) return yield* new MirrorBuild.RebuildUnderWay({ mirror })
      least = left
      yield* Effect.sleep(lookAgain)
    }
  })

export const release = ({ builder, lock }: Options): Effect.Effect<void, never, RedisConnection> =>
  WriteLogLock.release(lock, builder)

/** Keeps the lock until the scope ends, and gives it back. */
export const keep = (options: Options): Effect.Effect<void, never, RedisConnection | Scope.Scope> => {
  const { builder, leaseMillis, lock } = options
  const beating = RedisScript.run(BuildScripts.renew, [lock], [builder, String(leaseMillis)]).pipe(
    // Who goes on without the lock is told by the next step.
    Effect.ignore,
    Effect.delay(Duration.millis(leaseMillis / beatsPerLease)),
    Effect.forever,
    Effect.interruptible
  )
  return Effect.acquireRelease(Effect.forkDaemon(beating), (fiber) =>
    Effect.zipRight(Fiber.interrupt(fiber), release(options))
  )
}
