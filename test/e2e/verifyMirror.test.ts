import { describe, expect, it } from "@effect/vitest"
import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { MongoDatabase } from "@twinbox/mongodb"
import { MirrorView, RedisConnection, RedisMirror } from "@twinbox/redis"
import { TwinRepository, TwinSync, TwinTopic } from "@twinbox/repository"
import { Effect, type Layer, Schema } from "effect"
import { drainInto } from "../setup/drained.ts"
import { mongoAndRedis } from "../setup/mongoAndRedis.ts"

const Customer = Schema.Struct({
  name: Schema.String.pipe(Anonymize.pseudonym),
  note: Schema.optional(Schema.String.pipe(Anonymize.redact)),
  visits: Schema.Number.pipe(Anonymize.keep),
  createdAt: Schema.DateFromSelf.pipe(Anonymize.keep)
})
const topic = TwinTopic.anonymized("customer", Customer)
const originalTopic = TwinTopic.original("customer-original", Customer)

const views = ["anonymized", "original"] as const

const count = 620

/** Customers that both mirrors show, and all that looks at them. */
const world = Effect.gen(function* () {
  const key = yield* AnonymizeKey.make({ version: 1, secret: yield* AnonymizeKey.generate })
  const options = { schema: Customer, collection: "customers", topic, originalTopic, key }
  const customers = yield* TwinRepository.make(options)
  const sync = yield* TwinSync.make({ ...options, batchSize: 300 })
  const saved = yield* customers.createMany(
    Array.from({ length: count }, (_, at) => ({
      name: `Näme ${at}`,
      visits: at / 3,
      createdAt: new Date(at),
      ...(at % 2 === 0 ? { note: `secret ${at}` } : {})
    }))
  )
  const mirrors = {
    anonymized: yield* MirrorView.make({ view: "anonymized" }),
    original: yield* MirrorView.make({ view: "original" })
  }
  const sinks = [
    yield* RedisMirror.make({ topics: [topic], isNew: true }),
    yield* RedisMirror.originals({ topics: [originalTopic], isNew: true })
  ] as const
  const drain = drainInto(sinks)
  yield* drain
  const redis = yield* RedisConnection.RedisConnection
  return { customers, sync, mirrors, drain, redis, id: (at: number) => saved[at]?._id ?? "" }
})

const live = (name: string, test: Effect.Effect<void, unknown, Layer.Layer.Success<typeof mongoAndRedis>>) =>
  it.live(name, () => Effect.provide(test, mongoAndRedis))

describe("A comparison of a mirror with the database", () => {
  for (const view of views) {
    const prefix = view === "original" ? "customer_v2" : "customer"

    live(
      `finds planted differences of every kind and repairs them, and nothing else (${view})`,
      Effect.gen(function* () {
        const { drain, id, mirrors, redis, sync } = yield* world
        const mirror = mirrors[view]
        const check = (repair: boolean, reports: Array<TwinSync.VerifyReport> = []) =>
          sync.verifyMirror(mirror, {
            recheckAfter: "100 millis",
            repair,
            onReport: (report) => Effect.sync(() => void reports.push(report))
          })
        const showAll = Effect.gen(function* () {
          const names = (yield* redis.command(["KEYS", `${prefix}:*`])) as Array<string>
          const shown = yield* Effect.forEach(names, (name) =>
            Effect.map(
              redis.command(["HMGET", name, "version", "json"]),
              (found) => [name, String(found)] as const
            )
          )
          return new Map(shown)
        })
        expect(yield* check(false)).toMatchObject({ standing: 0, tally: { examined: count } })
        const before = yield* showAll

        yield* redis.command(["DEL", `${prefix}:${id(3)}`])
        yield* redis.command(["HSET", `${prefix}:${id(310)}`, "version", "0"])
        yield* redis.command(["HSET", `${prefix}:${id(7)}`, "version", "12"])
        yield* redis.command(["HSET", `${prefix}:${id(9)}`, "json", "{}"])
        yield* redis.command(["HSET", `${prefix}:nobody`, "version", "4", "json", "{}"])

        const reports: Array<TwinSync.VerifyReport> = []
        const found = { missing: 1, stale: 2, altered: 1, extra: 1 }
        expect(yield* check(false, reports)).toMatchObject({ standing: 5, tally: found })
        expect(reports.map((report) => [report.id, report.kind]).toSorted()).toEqual(
          [
            [id(3), "missing"],
            [id(310), "stale"],
            [id(7), "stale"],
            [id(9), "altered"],
            ["nobody", "extra"]
          ].toSorted()
        )
        expect(yield* check(true)).toMatchObject({ standing: 0, tally: found })
        yield* drain
        expect(yield* check(false)).toMatchObject({ standing: 0 })
        expect(yield* sync.verify({ recheckAfter: 0 })).toMatchObject({ standing: 0 })

        const after = yield* showAll
        const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
          (name) => before.get(name) !== after.get(name)
        )
        expect(changed.toSorted()).toEqual([3, 310, 7, 9].map((at) => `${prefix}:${id(at)}`).toSorted())
        expect(yield* redis.command(["HGET", `${prefix}:${id(7)}`, "version"])).toBe("13")
      }).pipe(Effect.scoped)
    )
  }

  live(
    "does not call a fault what is on its way",
    Effect.gen(function* () {
      const { customers, drain, id, mirrors, sync } = yield* world
      for (const at of [1, 2, 3]) yield* customers.update(id(at), { visits: 99 })
      yield* customers.delete(id(4))
      const context = yield* Effect.context<Layer.Layer.Success<typeof mongoAndRedis>>()
      const delivered = yield* Effect.cached(Effect.orDie(Effect.provide(drain, context)))
      let looks = 0
      /** What it shows at the second look is what it has when the outbox is empty. */
      const slow: typeof mirrors.anonymized = {
        ...mirrors.anonymized,
        shown: (keys) =>
          Effect.suspend(() =>
            (looks += 1) === 1
              ? mirrors.anonymized.shown(keys)
              : Effect.zipRight(delivered, mirrors.anonymized.shown(keys))
          )
      }
      expect(yield* sync.verifyMirror(slow, { recheckAfter: 0 })).toMatchObject({ standing: 0 })
      expect(looks).toBeGreaterThan(1)
    }).pipe(Effect.scoped)
  )

  live(
    "does not call a fault what is written again between its two looks",
    Effect.gen(function* () {
      const { customers, id, mirrors, sync } = yield* world
      yield* customers.update(id(5), { visits: 99 })
      const check = (mirror: typeof mirrors.anonymized) => sync.verifyMirror(mirror, { recheckAfter: 0 })
      expect(yield* check(mirrors.anonymized)).toMatchObject({ standing: 1, tally: { stale: 1 } })
      const meanwhile = yield* Effect.cached(Effect.orDie(customers.update(id(5), { visits: 100 })))
      const watched: typeof mirrors.anonymized = {
        ...mirrors.anonymized,
        shown: (keys) => Effect.zipLeft(mirrors.anonymized.shown(keys), meanwhile)
      }
      expect(yield* check(watched)).toMatchObject({ standing: 0 })
    }).pipe(Effect.scoped)
  )

  live(
    "tells what a program has done to an original that its twin does not show",
    Effect.gen(function* () {
      const { id, mirrors, sync } = yield* world
      const { db } = yield* MongoDatabase.MongoDatabase
      yield* Effect.promise(() =>
        db
          .collection<{ _id: string }>("customers")
          .updateOne({ _id: id(2) }, { $set: { note: "another secret" } })
      )
      expect(yield* sync.verify({ recheckAfter: 0 })).toMatchObject({ standing: 0 })
      expect(yield* sync.verifyMirror(mirrors.original, { recheckAfter: 0 })).toMatchObject({
        standing: 1,
        tally: { altered: 1 }
      })
    }).pipe(Effect.scoped)
  )
})
