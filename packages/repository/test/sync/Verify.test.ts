import { expect } from "@effect/vitest"
import type { TwinSync } from "@twinbox/repository"
import { Effect, Fiber, Random } from "effect"
import { ObjectId } from "mongodb"
import { ada, newId, personal, suite } from "../testRepository.ts"
import {
  changedIds,
  everything,
  foreign,
  insertForeign,
  makeRepository,
  makeSync,
  newCollection,
  notInStep,
  upTo,
  using
} from "./testSync.ts"

/** Customers with one difference of each kind. */
const planted = (collection: string) =>
  Effect.gen(function* () {
    const customers = yield* makeRepository(collection)
    const saved = yield* customers.createMany(upTo(50).map(() => ada))
    const id = (at: number) => saved[at]?._id ?? ""
    const twins = `${collection}_anonymised`
    yield* using(twins, async (found) => {
      await found.deleteOne({ _id: id(1) })
      await found.updateOne({ _id: id(2) }, { $set: { version: 9 } })
      await found.updateOne({ _id: id(3) }, { $set: { lastName: "Abcd1234" } })
      await found.updateOne({ _id: id(4) }, { $set: { fingerprint: "x" } })
    })
    yield* using(collection, async (found) => {
      await found.deleteOne({ _id: id(5) })
      await found.updateOne({ _id: id(6) }, { $unset: { version: "" } })
      await found.updateOne({ _id: id(7) }, { $set: { address: null } })
      await found.insertOne(foreign(new ObjectId()))
    })
    return { customers, id }
  })

const kinds = { missing: 1, stale: 1, altered: 1, outdated: 1, extra: 1, unversioned: 1, unfit: 2 }

const gathering = () => {
  const reports: Array<TwinSync.VerifyReport> = []
  return {
    reports,
    onReport: (report: TwinSync.VerifyReport) => Effect.sync(() => void reports.push(report))
  }
}

suite("A comparison of originals and twins", (it) => {
  it.scoped("tells planted differences of every kind, with their age, and writes nothing", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { id } = yield* planted(collection)
      const sync = yield* makeSync(collection)
      const before = yield* everything(collection)
      const { onReport, reports } = gathering()
      const summary = yield* sync.verify({ recheckAfter: "200 millis", onReport })
      expect(summary).toMatchObject({ standing: 8, tally: { ...kinds, examined: 51 } })
      expect(yield* everything(collection)).toEqual(before)
      expect(reports.every(({ ageSeconds }) => ageSeconds >= 0.2)).toBe(true)
      expect(reports.find((report) => report.id === id(3))).toMatchObject({
        kind: "altered",
        outcome: "Found",
        details: ["lastName"]
      })
      expect(reports.find((report) => report.id === id(7))?.details).toEqual(["address has the wrong type"])
      for (const value of personal) expect(JSON.stringify(reports)).not.toContain(value)
    })
  )

  it.scoped("repairs what can be repaired, touches nothing else, and tells what stands", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { id } = yield* planted(collection)
      const sync = yield* makeSync(collection)
      const before = yield* everything(collection)
      const { onReport, reports } = gathering()
      const summary = yield* sync.verify({ recheckAfter: 0, repair: true, onReport })
      const after = yield* everything(collection)
      const touched = (part: keyof typeof after) => changedIds(before, after, part)
      expect(touched("originals")).toEqual([1, 2, 3, 4, 6].map(id).toSorted())
      expect(touched("twins")).toEqual([1, 2, 3, 4, 5, 6].map(id).toSorted())
      expect(touched("tombstones")).toEqual([id(5)])
      expect(after.messages.size - before.messages.size).toBe(6)
      expect(summary).toMatchObject({ standing: 2, tally: kinds })
      expect(reports.filter(({ outcome }) => outcome === "Written")).toHaveLength(6)
      expect((yield* notInStep(collection)).filter((one) => !ObjectId.isValid(one) || one === id(7))).toEqual(
        [id(7)]
      )
      const again = yield* sync.verify({ recheckAfter: 0 })
      expect(again).toMatchObject({ standing: 2, tally: { unfit: 2, missing: 0, extra: 0 } })
    })
  )

  it.scoped("counts anew each time that it is run", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      yield* insertForeign(collection, [foreign(newId())])
      const comparing = (yield* makeSync(collection)).verify({ recheckAfter: 0 })
      expect(yield* comparing).toMatchObject({ standing: 1, tally: { examined: 1 } })
      expect(yield* comparing).toMatchObject({ standing: 1, tally: { examined: 1 } })
    })
  )

  it.scoped("calls nothing a fault that only was under way", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const customers = yield* makeRepository(collection)
      const saved = yield* customers.createMany(upTo(200).map(() => ada))
      const sync = yield* makeSync(collection)
      const write = Effect.gen(function* () {
        const at = yield* Random.nextIntBetween(0, saved.length)
        const chance = yield* Random.next
        if (chance < 0.1) yield* Effect.ignore(customers.delete(saved[at]?._id ?? ""))
        else if (chance < 0.2) yield* customers.create(ada)
        else yield* Effect.ignore(customers.update(saved[at]?._id ?? "", { visits: yield* Random.nextInt }))
      })
      const writing = yield* Effect.fork(Effect.forever(write))
      for (let round = 0; round < 5; round++) {
        expect(yield* sync.verify({ recheckAfter: 0 })).toMatchObject({ standing: 0 })
      }
      yield* Fiber.interrupt(writing)
    })
  )

  it.scoped("gives whoever follows the collection time for what a foreign program has just done", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const sync = yield* makeSync(collection)
      yield* Effect.fork(sync.follow({ flushAfter: "100 millis" }))
      const write = Effect.suspend(() => insertForeign(collection, [foreign(newId())]))
      const writing = yield* Effect.fork(Effect.forever(Effect.delay(write, "10 millis")))
      yield* Effect.sleep("1 second")
      const { reports, onReport } = gathering()
      const summary = yield* sync.verify({ recheckAfter: "6 seconds", onReport })
      yield* Fiber.interrupt(writing)
      expect(reports).toEqual([])
      expect(summary).toMatchObject({ standing: 0 })
      expect(summary.tally.examined).toBeGreaterThan(5)
    })
  )

  it.scoped("tells how far it is", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      yield* insertForeign(
        collection,
        upTo(60).map(() => foreign(newId()))
      )
      const sync = yield* makeSync(collection)
      const seen: Array<TwinSync.Progress> = []
      yield* sync.verify({
        recheckAfter: 0,
        maxPerSecond: 60,
        onProgress: (progress) => Effect.sync(() => void seen.push(progress))
      })
      expect(seen[0]).toMatchObject({ done: 0, total: 60 })
      expect(seen.at(-1)).toMatchObject({ done: 60, total: 60, differing: 60 })
    })
  )
})
