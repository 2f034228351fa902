import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as Sync from "./SyncCliWorld.ts"

const foreignCustomers = (count: number) =>
  Array.from({ length: count }, (_, at) => Sync.foreign(`c-${String(at).padStart(4, "0")}`))

describe("twinbox reindex", () => {
  it.scopedLive("makes and removes twins, leaves what does not fit, and says so by path", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(8)
      yield* Sync.plantTwins(world)
      yield* Effect.promise(() => world.originals.insertOne(Sync.foreign("odd", { city: 7 })))
      const before = yield* world.everything

      const tried = yield* world.run("reindex", "--dry-run")
      expect(tried).toMatchObject({ code: 0, stderr: "" })
      expect(tried.stdout).toMatch(
        /^1 twin without original would be removed; 5 documents would be put right; nothing was written\n/
      )
      expect(tried.stdout).toMatch(/^IN .*\n^twins +nobody +extra /m)
      expect(yield* world.everything).toEqual(before)

      const ended = yield* world.run("reindex", "--json")
      expect(ended).toMatchObject({ code: 0, stderr: "" })
      expect(JSON.parse(ended.stdout)).toEqual({
        dryRun: false,
        run: 1,
        examined: 11,
        inStep: 4,
        written: { missing: 1, stale: 1, outdated: 1, altered: 1, unversioned: 1, extra: 1 },
        overtaken: 0,
        unfit: 1,
        failed: 0,
        differences: [
          { where: "twins", id: "odd", kind: "unfit", outcome: "left", details: ["city has the wrong type"] }
        ],
        more: 0
      })
      const again = yield* world.run("reindex")
      expect(again).toMatchObject({ code: 0, stderr: "" })
      expect(again.stdout).toMatch(
        /^10 documents compared: 9 in step, 0 put right, 1 not fitting the Schema, 0 failed\n\nIN .*\ntwins +odd +unfit +left +- +city has the wrong type\n$/
      )
      for (const one of [tried, ended, again]) Sync.expectDiscreet(one, world)
    })
  )

  it.scopedLive(
    "makes an outbox beside originals that come alone, and none where there are no originals",
    () =>
      Effect.gen(function* () {
        const world = yield* Sync.make(0)
        yield* Effect.promise(() => world.db.dropDatabase())
        const nothing = yield* world.run("reindex")
        expect(nothing).toMatchObject({ code: 1, stdout: "" })
        expect(nothing.stderr).toContain(
          `database '${world.name}' holds no collection 'customers': name the one`
        )
        expect(yield* Effect.promise(() => world.db.listCollections().toArray())).toEqual([])

        yield* Effect.promise(() => world.originals.insertMany(foreignCustomers(3)))
        const ended = yield* world.run("reindex", "--batch-size", "2")
        expect(ended).toMatchObject({ code: 0, stderr: "" })
        expect(ended.stdout).toBe(
          "3 documents compared: 0 in step, 3 put right, 0 not fitting the Schema, 0 failed\n\n3 unversioned: version given, twin made\n"
        )
        expect((yield* world.everything).outbox.filter(({ key }) => key !== "")).toHaveLength(6)
      })
  )

  it.scopedLive("ends with exit code 1 when MongoDB refused a write", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(2)
      yield* Effect.promise(async () => {
        await world.originals.insertOne(Sync.foreign("refused"))
        await world.db.command({
          collMod: "customers_anonymised",
          validator: { _id: { $ne: "refused" } }
        })
      })
      const ended = yield* world.run("reindex")
      expect(ended).toMatchObject({ code: 1, stderr: "twinbox: MongoDB refused 1 write\n" })
      expect(ended.stdout).toMatch(/^twins +refused +unversioned +failed +- +MongoDB refused .*$/m)
      Sync.expectDiscreet(ended, world)
    })
  )

  it.scopedLive("goes on where Ctrl-C has stopped it", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(0)
      yield* Effect.promise(() => world.originals.insertMany(foreignCustomers(300)))
      const words = ["reindex", "--batch-size", "10"]
      const first = yield* world.start(...words, "--max-per-second", "20", "--concurrency", "1")
      yield* Effect.repeat(
        Effect.promise(() => world.twins.countDocuments()),
        { until: (count) => count >= 20, schedule: Schedule.spaced("50 millis") }
      )
      yield* first.signal("SIGINT")
      const stopped = yield* first.ended
      expect(stopped).toMatchObject({ code: 1, stdout: "" })
      expect(stopped.stderr).toMatch(
        /^twinbox: stopped after \d+ documents: what was done stays so; the same command goes on from there\n$/
      )
      const done = yield* Effect.promise(() => world.twins.countDocuments())
      expect(done).toBeLessThan(300)

      const ended = yield* world.run(...words, "--json")
      expect(ended).toMatchObject({ code: 0, stderr: "" })
      // The same reindex, whose counts hold for both calls but for a page that was written and not noted.
      const { examined, inStep, run, written } = JSON.parse(ended.stdout)
      expect({ run, examined }).toEqual({ run: 1, examined: 300 })
      expect(written.unversioned + inStep).toBe(300)
      expect(written.unversioned).toBeGreaterThanOrEqual(300 - done + 10)
      expect(yield* Effect.promise(() => world.twins.countDocuments())).toBe(300)
      Sync.expectDiscreet(stopped, world)

      // Another one that does not end, and that `--fresh` does not go on with.
      yield* Effect.timeoutOption(world.run(...words, "--max-per-second", "1"), "1 second")
      const fresh = yield* world.run(...words, "--json", "--fresh")
      expect(JSON.parse(fresh.stdout)).toMatchObject({ run: 3, examined: 300, inStep: 300 })
    })
  )
})
