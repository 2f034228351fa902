import { NodeRuntime } from "@effect/platform-node"
import { MongoOutbox } from "@twinbox/mongodb"
import { Relay } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { Config, Duration, Effect } from "effect"
import { customerTopic } from "../../../examples/reference-app/src/Customer.ts"
import * as DeliveryLog from "../DeliveryLog.ts"
import { livesWithParent } from "./livesWithParent.ts"

const settings = Config.all({
  name: Config.string("NAME"),
  owner: Config.string("OWNER"),
  mongoUri: Config.redacted("MONGODB_URI"),
  mirrorUrl: Config.redacted("MIRROR_URL"),
  logUrl: Config.redacted("LOG_URL"),
  lease: Config.map(Config.integer("LEASE_MILLIS"), Duration.millis)
})

/** A server that hangs is given up before others would take this relay for dead. */
const replyWithin = Duration.seconds(2)

const main = Effect.gen(function* () {
  const { lease, logUrl, mirrorUrl, mongoUri, name, owner } = yield* settings
  const mirrorRedis = yield* RedisConnection.make({ url: mirrorUrl, replyWithin })
  const logRedis = yield* RedisConnection.make({ url: logUrl, replyWithin })
  // Never new: only who knows that nothing was lost may say that the mirror is ready.
  const mirror = yield* RedisMirror.make({ topics: [customerTopic], isNew: false }).pipe(
    Effect.provideService(RedisConnection.RedisConnection, mirrorRedis)
  )
  const log = DeliveryLog.sink(logRedis, owner, [customerTopic])
  const work = Effect.gen(function* () {
    const relay = yield* Relay.make({ sinks: [mirror, log], owner, lease, sinkTimeout: Duration.seconds(5) })
    return yield* relay.run
  })
  return yield* Effect.provide(work, MongoOutbox.layer({ uri: mongoUri, appName: name }))
}).pipe(Effect.scoped)

livesWithParent()
NodeRuntime.runMain(main)
