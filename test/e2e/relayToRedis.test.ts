import { describe, expect, it } from "@effect/vitest"
import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { MongoDatabase } from "@twinbox/mongodb"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { TwinRepository, TwinTopic } from "@twinbox/repository"
import { Effect, type Layer, Schema } from "effect"
import { drainInto } from "../setup/drained.ts"
import { mongoAndRedis } from "../setup/mongoAndRedis.ts"

const Customer = Schema.Struct({ name: Schema.String.pipe(Anonymize.pseudonym) })
const topic = TwinTopic.anonymized("customer", Customer)

const makeCustomers = Effect.gen(function* () {
  const key = yield* AnonymizeKey.make({ version: 1, secret: yield* AnonymizeKey.generate })
  return yield* TwinRepository.make({ schema: Customer, collection: "customers", topic, key })
})

/** Runs a relay into a mirror until the outbox is empty. */
const drain = Effect.gen(function* () {
  yield* drainInto([yield* RedisMirror.make({ topics: [topic], isNew: yield* RedisMirror.isNew() })])
})

const mirrored = (id: string) =>
  Effect.flatMap(RedisConnection.RedisConnection, (redis) =>
    redis.command(["HMGET", `customer:${id}`, "version", "json"])
  )

const live = (name: string, test: Effect.Effect<void, unknown, Layer.Layer.Success<typeof mongoAndRedis>>) =>
  it.live(name, () => Effect.provide(test, mongoAndRedis))

describe("From the repository through the relay to Redis", () => {
  for (const drains of [[], ["created"], ["deleted"], ["created", "deleted"]]) {
    const when = drains.length === 0 ? "only at the end" : `after it was ${drains.join(" and ")}`
    live(
      `a customer that is created, deleted and created again shows its last state, drained ${when}`,
      Effect.gen(function* () {
        const customers = yield* makeCustomers
        const { _id } = yield* customers.create({ name: "first" })
        if (drains.includes("created")) yield* drain
        yield* customers.delete(_id)
        if (drains.includes("deleted")) yield* drain
        yield* customers.create({ _id, name: "last" })
        yield* drain
        const [version, json] = (yield* mirrored(_id)) as [string, string]
        const twin = yield* Effect.flatMap(customers.twins.get(_id), (found) => found)
        expect(version).toBe("3")
        expect(JSON.parse(json)).toEqual({ _id, version: 3, name: twin.name })
      }).pipe(Effect.scoped)
    )
  }

  live(
    "a corrupt record becomes a dead letter and holds up nobody",
    Effect.gen(function* () {
      const customers = yield* makeCustomers
      const { db } = yield* MongoDatabase.MongoDatabase
      yield* Effect.promise(() =>
        db
          .collection<{ _id: string }>("outbox")
          .insertOne({ _id: "broken", slot: 5, key: 12, state: "ready" } as { _id: string }, {
            bypassDocumentValidation: true
          })
      )
      const saved = yield* customers.createMany(Array.from({ length: 20 }, (_, n) => ({ name: `name ${n}` })))
      yield* drain
      for (const { _id } of saved) expect((yield* mirrored(_id)) as Array<string>).toContain("1")
      const dead = yield* Effect.promise(() => db.collection("outbox_dead").find().toArray())
      expect(dead).toMatchObject([{ messageId: "broken", reason: "Corrupt", sink: "*" }])
    }).pipe(Effect.scoped)
  )
})
