import { expect, it } from "@effect/vitest"
import { redisCommands } from "@twinbox/services"
import { Effect } from "effect"
import { type Db, MongoClient } from "mongodb"
import { appDatabase } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers, type Place } from "../setup/mirroredCustomers.ts"

const inDatabase = <A>({ database, mongoUri }: Place, work: (db: Db) => Promise<A>) =>
  Effect.promise(async () => {
    const client = new MongoClient(mongoUri)
    try {
      return await work(client.db(database))
    } finally {
      await client.close()
    }
  })

it.scopedLive(
  "With TWO_WAY=off nothing brings originals to Redis, the relay needs no secret, and there is no /v2",
  () =>
    Effect.gen(function* () {
      const { env, place } = yield* appDatabase
      const off = { ...env, TWO_WAY: "off", FAKER_FILLING_DELAY_MS: "20" }
      const { ANONYMIZE_SECRET, ...withoutSecret } = off
      const app = yield* startApp({ env: off, args: ["--roles", "generator,api"] })
      yield* Effect.promise(() => app.waitFor(/status: customers [1-9]/))
      const topics = yield* inDatabase(place, (db) =>
        db.collection("outbox").distinct("topic", { key: { $ne: "" } })
      )
      expect(topics).toEqual(["customer"])

      const relay = yield* startApp({ env: withoutSecret, args: ["--roles", "relay"] })
      yield* Effect.promise(() => relay.waitFor(/[1-9]\d*\/s delivered/))
      expect(relay.output).not.toContain("/v2")

      const [, base = ""] = yield* Effect.promise(() => app.waitFor(/HTTP: (http:\S+) has/))
      const answer = yield* Effect.promise(() =>
        fetch(`${base}/v2/customer`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ name: "cc Inc", address: "cahce 37" })
        })
      )
      expect(answer.status).toBe(503)

      for (const one of [app, relay]) {
        one.signal("SIGINT")
        yield* endsWith(one, 0)
      }
      const found = yield* inspectCustomers({ ...place, secret: ANONYMIZE_SECRET })
      expect(found).toEqual(allArrived(found))
      const sinks = yield* inDatabase(place, (db) => db.collection("outbox_sinks").distinct("_id"))
      expect(sinks).toContain("redis-mirror")
      expect(sinks).not.toContain("redis-originals")
      const [originals, log] = yield* redisCommands(place.redisUrl, [
        ["KEYS", "*customer_v2*"],
        ["EXISTS", "writes:{customer_v2}"]
      ])
      expect([originals, log]).toEqual([[], 0])
    }),
  60_000
)
