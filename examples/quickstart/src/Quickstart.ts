import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { MongoOutbox } from "@twinbox/mongodb"
import { Relay } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { TwinRepository, TwinTopic } from "@twinbox/repository"
import { MongoServer, RedisServer } from "@twinbox/services"
import { ConfigProvider, Console, Effect, Layer, Redacted, Schedule, Schema } from "effect"

// --- begin: the example of the README
const Customer = Schema.Struct({
  name: Schema.String.pipe(Anonymize.pseudonym),
  email: Schema.String.pipe(Anonymize.email),
  city: Schema.String.pipe(Anonymize.keep)
})
const topic = TwinTopic.anonymized("customer", Customer)

const program = Effect.gen(function* () {
  const key = yield* AnonymizeKey.config
  const customers = yield* TwinRepository.make({ schema: Customer, collection: "customers", topic, key })
  const mirror = yield* RedisMirror.make({ topics: [topic], isNew: yield* RedisMirror.isNew() })
  const relay = yield* Relay.make({ sinks: [mirror] })
  yield* Effect.forkScoped(relay.run)

  const ann = yield* customers.create({ name: "Ann Lee", email: "ann@example.org", city: "Oslo" })
  yield* watch(ann)
  const moved = yield* customers.update(ann._id, { city: "Bergen" })
  yield* watch(moved)
})
// --- end

/** Waits until this version of a customer has come to Redis, and shows its mirror. */
const watch = ({ _id, version }: { readonly _id: string; readonly version: number }) =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection.RedisConnection
    const key = `customer:${_id}`
    yield* redis.command(["HGET", key, "version"]).pipe(
      Effect.repeat({
        until: (mirrored) => Number(mirrored) >= version,
        schedule: Schedule.spaced("5 millis")
      }),
      Effect.timeout("10 seconds")
    )
    yield* Console.log(`${key} = ${String(yield* redis.command(["HGET", key, "json"]))}`)
  })

/** Servers of this run alone, unless MONGODB_URI and REDIS_URL name others. */
const Mongo = Layer.unwrapEffect(
  Effect.map(MongoServer, ({ uri }) => MongoOutbox.layer({ uri: Redacted.make(uri) }))
).pipe(Layer.provide(MongoServer.layerConfig()))
const Redis = Layer.unwrapEffect(
  Effect.map(RedisServer, ({ uri }) => RedisConnection.layer({ url: Redacted.make(uri) }))
).pipe(Layer.provide(RedisServer.layerConfig()))

/** A secret for this run, unless ANONYMIZE_SECRET is set. */
const Secret = Layer.unwrapEffect(
  Effect.map(AnonymizeKey.generate, (secret) => {
    const made = ConfigProvider.fromMap(new Map([["ANONYMIZE_SECRET", Redacted.value(secret)]]))
    return Layer.setConfigProvider(ConfigProvider.orElse(ConfigProvider.fromEnv(), () => made))
  })
)

await Effect.runPromise(
  program.pipe(Effect.scoped, Effect.provide(Layer.merge(Mongo, Redis)), Effect.provide(Secret))
)
