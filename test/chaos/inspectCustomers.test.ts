import { expect, it } from "@effect/vitest"
import { redisCommands } from "@twinbox/services"
import { Effect } from "effect"
import { type Db, MongoClient } from "mongodb"
import { appDatabase } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"

type Twins = ReadonlyArray<{ readonly _id: string; readonly version: number }>

/** One difference of every kind, each at a customer of its own. */
const plant = async (db: Db, [stale, altered, lost]: Twins) => {
  const twins = db.collection<{ _id: string; version: number }>("customers_anonymised")
  await twins.updateOne({ _id: stale?._id ?? "" }, { $inc: { version: 1 } })
  await twins.updateOne({ _id: altered?._id ?? "" }, { $set: { "address.line1": "00000000" } })
  await twins.deleteOne({ _id: lost?._id ?? "" })
}

it.scopedLive(
  "the checker finds every kind of planted difference, and no other",
  () =>
    Effect.gen(function* () {
      const { env, place } = yield* appDatabase
      const app = yield* startApp({ env: { ...env, FAKER_FILLING_DELAY_MS: "10" } })
      yield* Effect.promise(() => app.waitFor(/[1-9]\d*\/s delivered/))
      app.signal("SIGINT")
      yield* endsWith(app, 0)
      const clean = yield* inspectCustomers(place)
      expect(clean).toEqual(allArrived(clean))

      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new MongoClient(place.mongoUri)),
        (open) => Effect.promise(() => open.close())
      )
      const db = client.db(place.database)
      const found = yield* Effect.promise(() =>
        db.collection<Twins[number]>("customers_anonymised").find().limit(5).toArray()
      )
      const [stale, altered, lost, unmirrored, older] = found.map(({ _id }) => _id)
      yield* Effect.promise(() => plant(db, found))
      yield* redisCommands(place.redisUrl, [
        ["DEL", `customer:${unmirrored}`],
        ["HSET", `customer:${older}`, "version", "0"],
        ["HSET", "customer:extra", "version", "1", "json", "{}"]
      ])

      const { differences, ...counts } = yield* inspectCustomers(place)
      const version = found[0]?.version ?? 0
      expect(differences.toSorted()).toEqual(
        [
          `${stale}: version ${version}, its twin ${version + 1}`,
          `${stale}: version ${version + 1}, its mirror ${version}`,
          `${altered}: the twin's address.line1 is of another value`,
          `${altered}: its mirror has other fields`,
          `${lost}: no twin`,
          `${unmirrored}: not mirrored`,
          `${older}: version ${found[4]?.version}, its mirror 0`
        ].toSorted()
      )
      // One mirror went and one came, so that only the twins tell by their number.
      expect(counts).toMatchObject({ originals: clean.originals, twins: clean.twins - 1 })
    }),
  60_000
)
