import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as InProcess from "../../packages/cli/test/InProcess.ts"
import { appDatabase, plainDatabase } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"

const count = 60

/** The customers as the `twinbox` command knows them. */
const config = new URL("../../examples/reference-app/twinbox.config.ts", import.meta.url).pathname

it.scopedLive(
  "--full-reindex makes all twins once, goes on after Ctrl-C, and ends",
  () =>
    Effect.gen(function* () {
      const { env, place } = yield* appDatabase
      const database = yield* plainDatabase(place)
      yield* Effect.promise(() =>
        database.collection<{ _id: string }>("customers").insertMany(
          Array.from({ length: count }, (_, at) => ({
            _id: `foreign-${at}`,
            name: `Personal ${at} Inc`,
            ...(at === 7 ? {} : { address: `${at} cache` })
          }))
        )
      )
      const twins = () => database.collection("customers_anonymised").countDocuments()
      const settings = { ...env, SYNC_BATCH_SIZE: "5" }

      const stopped = yield* startApp({ env: settings, args: ["--roles", "sync", "--full-reindex"] })
      yield* Effect.promise(() => stopped.waitFor(/comparing all customers/))
      stopped.signal("SIGINT")
      yield* endsWith(stopped, 1)
      expect(stopped.output).toContain("reference-app: stopped; what was done stays so")
      expect(yield* Effect.promise(twins)).toBeLessThan(count - 1)

      const first = yield* startApp({ env: settings, args: ["--full-reindex"] })
      yield* endsWith(first, 0)
      expect(first.output).toMatch(
        /^ {2}60 documents compared: \d+ in step, \d+ put right, 1 not fitting the Schema, 0 failed$/m
      )
      expect(yield* Effect.promise(twins)).toBe(count - 1)

      const json = yield* startApp({ env: { ...settings, LOG_FORMAT: "json" }, args: ["--full-reindex"] })
      yield* endsWith(json, 0)
      const lines = json.output
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
      expect(lines.at(-1)).toMatchObject({
        message: "60 documents compared: 59 in step, 0 put right, 1 not fitting the Schema, 0 failed",
        annotations: { run: 2, examined: count, unfit: 1, failed: 0 }
      })

      const verify = ["verify", "--json", "--recheck-after", "0s"]
      const { REDIS_URL: _, ...withoutRedis } = { ...env, TWINBOX_CONFIG: config }
      const found = JSON.parse((yield* InProcess.run(verify, withoutRedis)).stdout)
      expect(found).toMatchObject({
        compared: [{ where: "twins", examined: count, unfit: 1, standing: 1 }],
        leftOut: [{ mirror: "redis-mirror" }, { mirror: "redis-originals" }]
      })
      const oneWay = yield* InProcess.run(verify, { ...withoutRedis, TWO_WAY: "off" })
      expect(JSON.parse(oneWay.stdout)).toMatchObject({ leftOut: [{ mirror: "redis-mirror" }] })
      for (const { output } of [stopped, first, json]) expect(output).not.toMatch(/Personal|cache/)
    }),
  60_000
)
