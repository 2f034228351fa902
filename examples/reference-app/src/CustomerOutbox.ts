import { RedisConnection, RedisOutbox, type RedisError } from "@twinbox/redis"
import { Context, Effect, Either, Layer, Option } from "effect"
import { customerStream } from "./Customer.ts"
import { customerIndexes } from "./CustomerIndexes.ts"
import { MirrorRedis } from "./MirrorRedis.ts"
import { Settings } from "./Settings.ts"

/** How many writes may wait for MongoDB. */
export const maxPending = 100_000

/** Takes writes of customers in Redis; none where there is no Redis, or writes go one way only. */
export class CustomerOutbox extends Context.Tag("@twinbox/reference-app/CustomerOutbox")<
  CustomerOutbox,
  Option.Option<RedisOutbox.RedisOutbox>
>() {}

const over = (connection: Context.Tag.Service<RedisConnection.RedisConnection>) =>
  RedisOutbox.make({ stream: customerStream, indexes: customerIndexes, maxLog: maxPending }).pipe(
    Effect.provideService(RedisConnection.RedisConnection, connection),
    Effect.map(Option.some)
  )

const make = Effect.gen(function* () {
  const { twoWay } = yield* Settings
  const redis = yield* MirrorRedis
  return twoWay && Either.isRight(redis) ? yield* over(redis.right.redis) : Option.none()
})

export const layer: Layer.Layer<CustomerOutbox, RedisError.RedisError, MirrorRedis | Settings> = Layer.effect(
  CustomerOutbox,
  make
)
