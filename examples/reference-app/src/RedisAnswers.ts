import { RedisConnection } from "@twinbox/redis"
import { Duration, Effect } from "effect"

/** A Redis that takes longer is of no use to a stop. */
const answerWithin = Duration.millis(300)

/** Whether Redis answers now. One that hangs counts as connected, and yet there is nothing to wait for. */
export const redisAnswers: Effect.Effect<boolean, never, RedisConnection.RedisConnection> = Effect.flatMap(
  RedisConnection.RedisConnection,
  (redis) =>
    redis
      .command(["PING"])
      .pipe(Effect.timeout(answerWithin), Effect.match({ onSuccess: () => true, onFailure: () => false }))
)
