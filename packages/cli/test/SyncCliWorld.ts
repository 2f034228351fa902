import { AnonymizeKey } from "@twinbox/anonymize"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { TwinRepository } from "@twinbox/repository"
import { Effect, Layer, Logger, LogLevel, Redacted } from "effect"
import type { Document } from "mongodb"
import { testSecret } from "../../../test/setup/appDatabase.ts"
import { drainInto } from "../../../test/setup/drained.ts"
import { testMongo, testRedis } from "../../../test/setup/testServers.ts"
import * as World from "./CliWorld.ts"
import * as InProcess from "./InProcess.ts"
import { definition } from "./configs/customers.config.ts"

export const config = new URL("configs/customers.config.ts", import.meta.url).pathname

/** Personal details that every customer has, and must be in no output. */
export const personal = { name: "Ada Lovelace", note: "likes engines" }

interface Stored extends Document {
  readonly _id: string
}

/** A customer as a program stores it that knows no twins. */
export const foreign = (id: string, more: Document = {}): Stored => ({
  _id: id,
  ...personal,
  city: "London",
  ...more
})

/** Customers with twins and both mirrors, and the command over them. */
export const make = (count: number) =>
  Effect.gen(function* () {
    const { database: name, uri } = yield* testMongo
    const { url } = yield* testRedis
    const servers = Layer.merge(
      MongoOutbox.layer({ uri: Redacted.make(uri), database: name }),
      RedisConnection.layer({ url: Redacted.make(url) })
    )
    const context = yield* Logger.withMinimumLogLevel(Layer.build(servers), LogLevel.Warning)
    const here = Effect.provide(context)
    const { db } = yield* here(MongoDatabase.MongoDatabase)
    const redis = yield* here(RedisConnection.RedisConnection)
    const key = yield* AnonymizeKey.make({ version: 1, secret: Redacted.make(testSecret) })
    const customers = yield* here(TwinRepository.make({ ...definition, key }))
    const saved = yield* customers.createMany(
      Array.from({ length: count }, () => ({ ...personal, city: "London" }))
    )
    const sinks = [
      yield* here(RedisMirror.make({ topics: [definition.topic], isNew: true })),
      yield* here(RedisMirror.originals({ topics: [definition.originalTopic], isNew: true }))
    ] as const

    const drain = here(drainInto(sinks))

    const collection = (of: string) => db.collection<Stored>(of)
    const dump = (of: string) => Effect.promise(() => collection(of).find().sort({ _id: 1 }).toArray())
    const env = {
      MONGODB_URI: uri,
      ANONYMIZE_SECRET: testSecret,
      TWINBOX_CONFIG: config,
      REDIS_URL: url
    }
    const words = (args: ReadonlyArray<string>) => [...args, "--database", name]
    return {
      name,
      uri,
      redisUrl: url,
      db,
      redis,
      drain,
      ids: saved.map(({ _id }) => _id),
      originals: collection("customers"),
      twins: collection("customers_anonymised"),
      /** All that a command could change. */
      everything: Effect.all({
        originals: dump("customers"),
        twins: dump("customers_anonymised"),
        tombstones: dump("customers_tombstones"),
        outbox: dump("outbox")
      }),
      env,
      run: (...args: ReadonlyArray<string>) => InProcess.run(words(args), env),
      runWith: (more: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) =>
        InProcess.run(words(args), { ...env, ...more }),
      start: (...args: ReadonlyArray<string>) => World.start(words(args), env)
    }
  })

type Made = Effect.Effect.Success<ReturnType<typeof make>>

/** One difference of each kind between originals and twins; ids by kind. */
export const plantTwins = ({ ids, originals, twins }: Made) =>
  Effect.promise(async () => {
    const [missing = "", stale = "", outdated = "", altered = ""] = ids
    await twins.deleteOne({ _id: missing })
    await twins.updateOne({ _id: stale }, { $inc: { version: 3 } })
    await twins.updateOne({ _id: outdated }, { $set: { fingerprint: "other rules" } })
    await twins.updateOne({ _id: altered }, { $set: { city: "Paris" } })
    await originals.insertOne(foreign("new"))
    await twins.insertOne({ _id: "nobody", version: 2, keyVersion: 1, city: "Rome" })
    return { missing, stale, outdated, altered, unversioned: "new", extra: "nobody" }
  })

/** One difference of each kind between the twins and their mirror; ids by kind. */
export const plantMirror = ({ ids, redis }: Made) =>
  Effect.gen(function* () {
    const [missing = "", stale = "", altered = ""] = ids
    yield* redis.command(["DEL", `customer:${missing}`])
    yield* redis.command(["HSET", `customer:${stale}`, "version", "12"])
    yield* redis.command(["HSET", `customer:${altered}`, "json", "{}"])
    yield* redis.command(["HSET", "customer:nobody", "version", "4", "json", "{}"])
    return { missing, stale, altered, extra: "nobody" }
  })

/** Fails the test when an output holds what must be in none. */
export const expectDiscreet = ({ stderr, stdout }: World.Ended, { redisUrl, uri }: Made): void => {
  for (const secret of [...Object.values(personal), testSecret, uri, redisUrl]) {
    if (`${stdout}${stderr}`.includes(secret)) throw new Error(`this holds '${secret}': ${stdout}${stderr}`)
  }
}
