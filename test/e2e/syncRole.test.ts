import { isDeepStrictEqual } from "node:util"
import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { appDatabase, plainDatabase } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"

it.scopedLive(
  "The role sync makes twins follow from what other programs write, also while it was away",
  () =>
    Effect.gen(function* () {
      const { env, place } = yield* appDatabase
      const customers = (yield* plainDatabase(place)).collection<{
        _id: string
        name: string
        address: string
      }>("customers")
      const foreign = (count: number, kind: string) =>
        Array.from({ length: count }, (_, at) => ({
          _id: `${kind}-${at}`,
          name: `${kind} ${at} Inc`,
          address: `${at} cahce`
        }))
      const found = inspectCustomers(place)
      const inStep = Effect.repeat(found, {
        until: (now) => isDeepStrictEqual(now, allArrived(now)),
        schedule: Schedule.intersect(Schedule.spaced("200 millis"), Schedule.recurs(100))
      })
      const relay = yield* startApp({ env, args: ["--roles", "relay"] })

      yield* Effect.promise(() => customers.insertMany(foreign(50, "before")))
      const first = yield* startApp({ env, args: ["--roles", "sync"] })
      yield* Effect.promise(() => first.waitFor(/synced 50/))
      yield* Effect.promise(() => customers.insertMany(foreign(20, "meanwhile")))
      yield* Effect.promise(() => first.waitFor(/synced 70/))
      first.signal("SIGINT")
      yield* endsWith(first, 0)

      yield* Effect.promise(async () => {
        await customers.insertMany(foreign(10, "away"))
        await customers.updateMany({ _id: /^before-1/ }, { $set: { name: "Renamed Inc" } })
        await customers.deleteMany({ _id: /^before-2/ })
      })
      const second = yield* startApp({ env, args: ["--roles", "sync"] })
      yield* Effect.promise(() => second.waitFor(/synced 32/))
      yield* inStep
      const last = yield* found
      expect(last).toEqual(allArrived(last))
      expect(last.originals).toBe(69)
      for (const app of [second, relay]) {
        app.signal("SIGINT")
        yield* endsWith(app, 0)
      }
    }),
  60_000
)
