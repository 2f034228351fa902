import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import type { TwinSync } from "@twinbox/repository"
import { Deferred, Effect, Exit, Fiber, Layer, Random, Redacted } from "effect"
import {
  Binary,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  MongoClient,
  type CommandStartedEvent,
  ObjectId,
  Timestamp
} from "mongodb"
import { inject } from "vitest"
import { testMongo } from "../../../../test/setup/testServers.ts"
import { failNext } from "../../../mongodb/test/testDatabase.ts"
import { ada, anotherProcess, keyOf, newId, personal, suite } from "../testRepository.ts"
import {
  changedIds,
  contents,
  everything,
  type Foreign,
  foreign,
  insertForeign,
  makeRepository,
  makeSync,
  messagesByKey,
  newCollection,
  notInStep,
  twinFields,
  upTo,
  using
} from "./testSync.ts"

/** Reports of a run, as they come. */
const gathering = () => {
  const reports: Array<TwinSync.SyncReport> = []
  return {
    reports,
    onReport: (report: TwinSync.SyncReport) => Effect.sync(() => void reports.push(report))
  }
}

/** Does something again and again, until the effect that it returns: that waits for the end of the last time. */
const keepDoing = <E, R>(effect: Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    let hasEnough = false
    const fiber = yield* Effect.fork(Effect.repeat(effect, { until: () => hasEnough }))
    return Effect.suspend(() => {
      hasEnough = true
      return Fiber.join(fiber)
    })
  })

/** A collection with customers of the repository, ids in order. */
const withCustomers = (collection: string, count: number) =>
  Effect.gen(function* () {
    const prefix = newId()
    const customers = yield* makeRepository(collection)
    const ids = upTo(count).map((at) => `${prefix}-${String(at).padStart(5, "0")}`)
    yield* customers.createMany(ids.map((_id) => ({ ...ada, _id })))
    return { customers, ids }
  })

suite("A reindex", (it) => {
  it.scoped("finds and repairs planted differences of every kind, and touches nothing else", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { customers, ids } = yield* withCustomers(collection, 60)
      const id = (at: number) => ids[at] ?? ""
      const twins = `${collection}_anonymised`
      yield* using(twins, (found) => found.deleteOne({ _id: id(3) }))
      yield* using(twins, (found) => found.updateOne({ _id: id(7) }, { $set: { version: 9 } }))
      yield* using(collection, (found) => found.updateOne({ _id: id(11) }, { $set: { version: 8 } }))
      yield* using(twins, (found) => found.updateOne({ _id: id(15) }, { $set: { lastName: "Abcd1234" } }))
      yield* using(twins, (found) => found.updateOne({ _id: id(19) }, { $set: { phone: "0123" } }))
      yield* using(collection, (found) => found.updateOne({ _id: id(23) }, { $set: { visits: 77 } }))
      yield* using(twins, (found) => found.updateOne({ _id: id(27) }, { $set: { keyVersion: 0 } }))
      yield* using(collection, (found) => found.updateOne({ _id: id(31) }, { $unset: { version: "" } }))
      yield* using(collection, (found) => found.deleteOne({ _id: id(35) }))
      yield* using(`${collection}_tombstones`, (found) =>
        found.insertOne({ _id: id(39), version: 5, deletedAt: new Date() })
      )
      const lone = newId()
      yield* using(twins, (found) => found.insertOne({ _id: lone, version: 3, lastName: "Abcd1234" }))
      const strange = newId()
      yield* insertForeign(collection, [foreign(strange)])
      const broken = newId()
      yield* insertForeign(collection, [foreign(broken, { address: null })])
      const differing = [3, 7, 11, 15, 19, 23, 27, 31, 35, 39].map(id)

      const before = yield* everything(collection)
      const { reports, onReport } = gathering()
      const sync = yield* makeSync(collection)
      const { tally } = yield* sync.reindex({ onReport })

      expect(tally).toEqual({
        examined: 63,
        missing: 1,
        stale: 3,
        outdated: 1,
        altered: 3,
        unversioned: 2,
        extra: 2,
        unfit: 1,
        overtaken: 0,
        failed: 0
      })
      const after = yield* everything(collection)
      const touched = (part: keyof typeof after) => changedIds(before, after, part)
      expect(touched("originals")).toEqual([...differing.filter((one) => one !== id(35)), strange].toSorted())
      expect(touched("twins")).toEqual(
        [...differing.filter((one) => one !== id(39)), id(39), lone, strange].toSorted()
      )
      expect(touched("tombstones")).toEqual([id(35), id(39), lone].toSorted())
      expect(after.messages.size - before.messages.size).toBe(differing.length + 2)
      expect(yield* notInStep(collection)).toEqual([broken])
      const messages = yield* messagesByKey
      const last = (one: string) => messages.get(`customer/${one}`)?.at(-1)
      expect(last(id(7))).toMatchObject({ sequence: 10 })
      expect(last(id(11))).toMatchObject({ sequence: 9 })
      expect(last(id(39))).toMatchObject({ sequence: 6 })
      expect(last(id(35))).toMatchObject({ sequence: 2, payload: null })
      expect(last(lone)).toMatchObject({ sequence: 4, payload: null })
      expect(reports.find((report) => report.id === broken)).toEqual({
        id: broken,
        kind: "unfit",
        outcome: "Left",
        details: ["address has the wrong type"]
      })
      expect(reports.find((report) => report.id === id(23))?.details).toEqual(["visits"])
      for (const value of personal) expect(JSON.stringify(reports)).not.toContain(value)

      expect(yield* customers.get(id(23))).toMatchObject({ value: { visits: 77, version: 2 } })
      const again = yield* sync.reindex()
      expect(again.tally).toEqual({ ...tally, ...noneWritten, examined: 61, unfit: 1 })
      expect(yield* everything(collection)).toEqual(after)
    })
  )

  it.scoped("changes nothing of an original but its version, to the type of each number", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const id = newId()
      yield* insertForeign(collection, [
        foreign(id, {
          visits: new Double(3),
          big: Long.fromNumber(5),
          amount: Decimal128.fromString("1.10"),
          raw: new Binary(Buffer.from("x")),
          nested: { list: [new Int32(1), new Double(1), null] },
          version: "2"
        })
      ])
      const before = yield* contents(collection)
      const sync = yield* makeSync(collection)
      yield* sync.reindex()
      const after = yield* contents(collection)
      const [text] = before.values()
      expect([...after.values()]).toEqual([
        String(text).replace('"version":"2"', '"version":{"$numberInt":"1"}')
      ])
      expect(yield* notInStep(collection)).toEqual([])
    })
  )

  it.scoped("takes foreign data as it is in the wild: each is handled or told by its path", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const oid = new ObjectId()
      const ids: ReadonlyArray<unknown> = [
        oid,
        42,
        new Double(4.5),
        Long.MAX_VALUE,
        Decimal128.fromString("7.5"),
        null,
        true,
        new Date(5),
        new Binary(Buffer.from("ab")),
        { tenant: "a", number: 1 },
        new Timestamp({ t: 1, i: 2 }),
        new MinKey(),
        new MaxKey(),
        "",
        "line\nbreak",
        "x".repeat(700)
      ]
      const prefix = newId()
      const named = (name: string) => `${prefix}-${name}`
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      yield* insertForeign(collection, [
        { _id: named("empty") },
        foreign(named("numbers"), { visits: "12" }),
        foreign(named("null"), { address: null }),
        foreign(named("types"), { firstName: 7, createdAt: "yesterday" }),
        foreign(named("extra"), { ssn: "SECRET-SSN", address: { ...ada.address, geo: "SECRET-GEO" } }),
        foreign(named("nickless"), { nickname: undefined }),
        foreign(named("version"), { version: { $numberLong: "1" } })
      ])
      yield* using(`${collection}_anonymised`, (found) => found.insertMany([foreign(oid), foreign(43)]))
      const originals = yield* contents(collection)
      const { reports, onReport } = gathering()
      const sync = yield* makeSync(collection, { batchSize: 4 })
      const { tally } = yield* sync.reindex({ onReport })
      expect(tally).toMatchObject({ unfit: ids.length + 1 + 4, unversioned: 3, failed: 0, extra: 0 })
      const byId = new Map(reports.map((report) => [report.id, report]))
      expect(byId.get(named("empty"))?.details).toHaveLength(6)
      expect(byId.get(named("numbers"))?.details).toEqual(["visits has the wrong type"])
      expect(byId.get(named("null"))?.details).toEqual(["address has the wrong type"])
      expect(byId.get(named("types"))?.details).toEqual([
        "firstName has the wrong type",
        "createdAt has the wrong type"
      ])
      expect(byId.get(`ejson:{"$oid":"${oid.toHexString()}"}`)?.outcome).toBe("Left")
      const after = yield* contents(collection)
      for (const [id, text] of originals) {
        const isFit = ["extra", "nickless", "version"].some((name) => id.includes(named(name)))
        if (!isFit) expect(after.get(id)).toBe(text)
      }
      const twins = yield* contents(`${collection}_anonymised`)
      const made = [...twins.values()].filter((twin) => twin.includes(prefix)).join("\n")
      expect(made.split("\n")).toHaveLength(3)
      for (const value of [...personal, "SECRET-SSN", "SECRET-GEO"]) expect(made).not.toContain(value)
      const messages = JSON.stringify([...(yield* messagesByKey)])
      for (const value of ["SECRET-SSN", "SECRET-GEO"]) expect(messages).not.toContain(value)
    })
  )

  it.scoped("comes by every id of every type, whatever the sizes of pages and ranges", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const prefix = newId()
      yield* insertForeign(collection, [
        ...upTo(120).map((at) => foreign(`${prefix}-${at}`)),
        ...upTo(80).map(() => foreign(new ObjectId())),
        ...upTo(40).map((at) => foreign(at)),
        ...upTo(10).map((at) => foreign({ at })),
        foreign(new MaxKey()),
        foreign(new MinKey())
      ])
      const loneTwins = upTo(90).map((at) => ({ _id: `${prefix}-0-${at}`, version: 1 }))
      yield* using(`${collection}_anonymised`, (found) => found.insertMany(loneTwins))
      const { reports, onReport } = gathering()
      const sync = yield* makeSync(collection, { batchSize: 3 })
      const { tally } = yield* sync.reindex({ onReport })
      expect(tally).toMatchObject({ unversioned: 120, unfit: 132, extra: 90, failed: 0 })
      expect(new Set(reports.map(({ id }) => id)).size).toBe(342)
      expect((yield* notInStep(collection)).filter((id) => id.startsWith(prefix))).toEqual([])
    })
  )

  it.scoped("sees the tombstone of a customer among many of others", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { ids } = yield* withCustomers(collection, 3)
      const last = ids[2] ?? ""
      const buried = [...upTo(30).map((at) => `${ids[0]}-${at}`), last]
      yield* using(`${collection}_tombstones`, (found) =>
        found.insertMany(buried.map((_id) => ({ _id, version: 5, deletedAt: new Date() })))
      )
      const { reports, onReport } = gathering()
      const { tally } = yield* (yield* makeSync(collection)).reindex({ onReport })
      expect(tally).toMatchObject({ examined: 3, stale: 1 })
      expect(reports.map(({ id }) => id)).toEqual([last])
    })
  )

  it.scoped("never undoes what others write meanwhile", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const prefix = newId()
      const ids = upTo(300).map((at) => `${prefix}-${String(at).padStart(3, "0")}`)
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      const customers = yield* makeRepository(collection)
      const sync = yield* makeSync(collection)
      const saved = new Map<string, { readonly version: number; readonly visits: number }>()
      const deleted = new Set<string>()
      const write = Effect.gen(function* () {
        const id = ids[yield* Random.nextIntBetween(0, ids.length)] ?? ""
        if (deleted.has(id)) return
        if ((yield* Random.next) < 0.1) {
          deleted.add(id)
          yield* customers.delete(id)
        } else {
          const visits = yield* Random.nextIntBetween(1, 1_000_000)
          saved.set(id, yield* customers.update(id, { visits }))
        }
      })
      const stop = yield* keepDoing(write)
      const unversioned = newId()
      yield* insertForeign(collection, [foreign(unversioned)])
      yield* sync.reindex()
      yield* sync.reindex({ fresh: true })
      yield* stop
      yield* sync.reindex({ fresh: true })

      expect(saved.size).toBeGreaterThan(10)
      for (const [id, { version, visits }] of saved) {
        if (deleted.has(id)) continue
        const found = yield* using(collection, (originals) => originals.findOne({ _id: id }))
        expect(found?.["visits"]).toBe(visits)
        expect(found?.["version"]).toBeGreaterThanOrEqual(version)
      }
      expect(yield* using(collection, (found) => found.countDocuments())).toBe(301 - deleted.size)
      expect(yield* notInStep(collection)).toEqual([])
      // Versions rise one by one: nobody has written over anybody else.
      for (const [, messages] of yield* messagesByKey) {
        const sequences = messages.map(({ sequence }) => Number(sequence))
        if (String(messages[0]?.["key"]).includes(prefix)) {
          expect(sequences).toEqual(sequences.map((_, at) => at + 1))
        }
      }
    })
  )

  it.scoped("is not confused by foreign programs that change and delete while it looks", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const prefix = newId()
      const ids = upTo(200).map((at) => `${prefix}-${String(at).padStart(3, "0")}`)
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      const sync = yield* makeSync(collection)
      const write = Effect.gen(function* () {
        const _id = ids[yield* Random.nextIntBetween(0, ids.length)] ?? ""
        const chance = yield* Random.next
        const visits = yield* Random.nextIntBetween(1, 1_000_000)
        yield* using(collection, async (found): Promise<unknown> => {
          if (chance < 0.1) return found.deleteOne({ _id })
          if (chance < 0.3) return found.replaceOne({ _id }, { ...ada, visits }, { upsert: true })
          return found.updateOne({ _id }, { $set: { visits } })
        })
      })
      const stop = yield* keepDoing(write)
      yield* sync.reindex()
      yield* stop
      const before = yield* contents(collection)
      yield* sync.reindex({ fresh: true })
      expect(yield* notInStep(collection)).toEqual([])
      // What the foreign program wrote last is what is there.
      const withoutVersion = (all: ReadonlyMap<string, string>) =>
        [...all.values()].map((text) => text.replace(/,?"version":\{"\$numberInt":"\d+"\}/, "")).toSorted()
      expect(withoutVersion(yield* contents(collection))).toEqual(withoutVersion(before))
    })
  )

  it.scoped("goes on where it was interrupted, after any page", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const prefix = newId()
      yield* insertForeign(
        collection,
        upTo(400).map((at) => foreign(`${prefix}-${at}`))
      )
      const sync = yield* makeSync(collection, { batchSize: 5 })
      let interruptions = 0
      while (interruptions < 50) {
        const stopAfter = yield* Random.nextIntBetween(1, 40)
        let count = 0
        const stop = yield* Deferred.make<void>()
        const onReport = () =>
          Effect.suspend(() => ((count += 1) === stopAfter ? Deferred.succeed(stop, undefined) : Effect.void))
        const exit = yield* Effect.exit(
          Effect.raceFirst(
            sync.reindex({ onReport: () => Effect.asVoid(onReport()) }),
            Effect.zipRight(Deferred.await(stop), Effect.fail("stopped"))
          )
        )
        if (Exit.isSuccess(exit)) {
          // Pages that were done are not done again, but for those under way.
          expect(exit.value.run).toBe(1)
          expect(exit.value.tally.examined).toBe(400)
          break
        }
        interruptions += 1
      }
      expect(interruptions).toBeGreaterThan(5)
      expect(yield* notInStep(collection)).toEqual([])
      const messages = yield* messagesByKey
      for (const at of upTo(400)) expect(messages.get(`customer/${prefix}-${at}`)).toHaveLength(1)
    })
  )

  it.scoped("is shared by instances without conflict, and each comes to its end", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const prefix = newId()
      yield* insertForeign(
        collection,
        upTo(400).map((at) => foreign(`${prefix}-${at}`))
      )
      const mine = yield* makeSync(collection, { batchSize: 5 })
      const theirs = yield* Effect.provide(makeSync(collection, { batchSize: 5 }), yield* anotherProcess)
      const reports = [0, 0]
      const counting = (at: number) => () => Effect.sync(() => void (reports[at] = (reports[at] ?? 0) + 1))
      const summaries = yield* Effect.all(
        [mine.reindex({ onReport: counting(0) }), theirs.reindex({ onReport: counting(1) })],
        { concurrency: 2 }
      )
      for (const summary of summaries) {
        expect(summary).toMatchObject({ run: 1, tally: { examined: 400, unversioned: 400, overtaken: 0 } })
      }
      expect(Math.min(...reports)).toBeGreaterThan(0)
      expect(reports[0]! + reports[1]!).toBe(400)
      expect(yield* notInStep(collection)).toEqual([])
    })
  )

  it.scoped("takes over what an instance had that has fallen silent", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      yield* insertForeign(
        collection,
        upTo(40).map(() => foreign(newId()))
      )
      const sync = yield* makeSync(collection, { lease: "300 millis" })
      // One that was killed: its heartbeat and its ranges stay behind.
      const { db } = yield* MongoDatabase.MongoDatabase
      const stuck = yield* Effect.fork(sync.reindex({ onReport: () => Effect.never }))
      yield* Effect.promise(async () => {
        const ranges = db.collection("sync_ranges")
        while ((await ranges.countDocuments({ collection, owner: { $ne: null } })) === 0) await pause()
        await ranges.updateMany({ collection }, { $set: { owner: "killed" }, $inc: { epoch: 1 } })
        await db
          .collection<{ _id: string }>("sync_members")
          .insertOne({ _id: "killed", counter: 4, leaseMillis: 300 } as never)
      })
      yield* Fiber.interrupt(stuck)
      expect((yield* sync.reindex()).run).toBe(1)
      expect(yield* notInStep(collection)).toEqual([])
    })
  )

  it.scoped("waits while MongoDB is away", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      yield* insertForeign(
        collection,
        upTo(40).map(() => foreign(newId()))
      )
      const sync = yield* makeSync(collection)
      yield* failNext(yield* MongoDatabase.MongoDatabase, 5, {
        failCommands: ["find", "commitTransaction", "findAndModify"],
        errorCode: 189
      })
      const { tally } = yield* sync.reindex()
      expect(tally).toMatchObject({ examined: 40, failed: 0 })
      expect(yield* notInStep(collection)).toEqual([])
    })
  )

  it.scoped("leaves what MongoDB refuses, says which, and goes on with the others", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const [one, other, third] = [newId(), newId(), newId()]
      const sync = yield* makeSync(collection)
      const { db } = yield* MongoDatabase.MongoDatabase
      yield* insertForeign(collection, [foreign(one), foreign(other, { visits: 13 }), foreign(third)])
      yield* Effect.promise(() =>
        db.command({ collMod: `${collection}_anonymised`, validator: { visits: { $ne: 13 } } })
      )
      const { reports, onReport } = gathering()
      const { tally } = yield* sync.reindex({ onReport })
      expect(tally).toMatchObject({ unversioned: 2, failed: 1 })
      expect(reports.find(({ outcome }) => outcome === "Failed")?.id).toBe(other)
      expect(yield* notInStep(collection)).toEqual([other])
    })
  )

  it.scoped("leaves an original whose new version a unique index refuses, and gives the others theirs", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const sync = yield* makeSync(collection)
      yield* using(collection, (found) =>
        found.createIndex(
          { note: 1, version: 1 },
          { unique: true, partialFilterExpression: { note: { $exists: true }, version: { $exists: true } } }
        )
      )
      const same = [newId(), newId()] as const
      yield* insertForeign(
        collection,
        [newId(), same[0], newId(), same[1], newId()].map((id) =>
          foreign(id, same.some((one) => one === id) ? { note: "same" } : {})
        )
      )
      const { reports, onReport } = gathering()
      const { tally } = yield* sync.reindex({ onReport })
      expect(tally).toMatchObject({ unversioned: 4, failed: 1 })
      const failed = reports.filter(({ outcome }) => outcome === "Failed").map(({ id }) => id)
      expect(same).toContain(failed[0])
      expect(yield* notInStep(collection)).toEqual(failed)
    })
  )

  it.scoped("does not begin while the database knows a newer key, nor goes on when one comes", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { ids } = yield* withCustomers(collection, 5)
      const sync = yield* makeSync(collection)
      const rotated = yield* makeRepository(collection, 2)
      yield* rotated.update(ids[0] ?? "", { visits: 1 })
      const before = yield* everything(collection)
      expect(yield* Effect.flip(sync.reindex())).toMatchObject({ _tag: "SyncSuperseded", reason: "NewerKey" })
      expect(yield* everything(collection)).toEqual(before)
      const newest = yield* makeSync(collection, { key: yield* keyOf(2) })
      expect((yield* newest.reindex()).tally).toMatchObject({ outdated: 4 })
      yield* using("anonymize_keys", (found) => found.deleteOne({ _id: 2 as never }))
    })
  )

  it.scoped("tells how far it is, and keeps to a rate", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      yield* insertForeign(
        collection,
        upTo(60).map(() => foreign(newId()))
      )
      const sync = yield* makeSync(collection)
      const seen: Array<TwinSync.Progress> = []
      const started = performance.now()
      yield* sync.reindex({
        maxPerSecond: 40,
        onProgress: (progress) => Effect.sync(() => void seen.push(progress))
      })
      expect(performance.now() - started).toBeGreaterThan(1_000)
      expect(seen[0]).toMatchObject({ total: 60, remainingSeconds: undefined })
      expect(seen.at(-1)).toMatchObject({ done: 60, total: 60, differing: 60, remainingSeconds: 0 })
      expect(seen.some(({ done, remainingSeconds }) => done < 60 && (remainingSeconds ?? 0) > 0)).toBe(true)
    })
  )

  it.scoped("makes twins that anonymizing makes", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const id = newId()
      yield* insertForeign(collection, [foreign(id)])
      yield* (yield* makeSync(collection)).reindex()
      const found = yield* using(`${collection}_anonymised`, (twins) => twins.findOne({ _id: id }))
      expect(found).toMatchObject({ ...(yield* twinFields(ada)), version: 1, keyVersion: 1 })
    })
  )
})

const noneWritten = {
  missing: 0,
  stale: 0,
  outdated: 0,
  altered: 0,
  unversioned: 0,
  extra: 0
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 20))

/** Tells of the commands that it sends. */
const watched = Layer.unwrapScoped(
  Effect.map(testMongo, ({ database, uri }) =>
    MongoOutbox.layer({
      uri: Redacted.make(`${uri}${uri.includes("?") ? "&" : "?"}monitorCommands=true`),
      database,
      appName: database
    })
  )
)

describe("A write of a foreign program between a sync's reading and writing", () => {
  it.live("is not undone", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const id = newId()
      const database = yield* MongoDatabase.MongoDatabase
      yield* insertForeign(collection, [foreign(id)])
      const sync = yield* makeSync(collection)
      const other = yield* Effect.acquireRelease(
        Effect.sync(() => new MongoClient(inject("mongoUri"))),
        (client) => Effect.promise(() => client.close())
      )
      yield* Effect.promise(() => other.connect())
      let writing: Promise<unknown> | undefined
      const writeOnce = ({ command, commandName }: CommandStartedEvent) => {
        if (commandName !== "update" || command["update"] !== collection) return
        writing ??= other
          .db(database.db.databaseName)
          .collection<Foreign>(collection)
          .updateOne({ _id: id }, { $set: { lastName: "Byron" } })
      }
      database.client.on("commandStarted", writeOnce)
      // The sync has read what it writes about, and the server lets it wait with the writing.
      yield* failNext(database, 50, { failCommands: ["update"], blockConnection: true, blockTimeMS: 200 })
      yield* sync.reindex()
      yield* Effect.promise(() => writing ?? Promise.reject(new Error("nothing was written between")))
      expect(yield* using(collection, (found) => found.findOne({ _id: id }))).toMatchObject({
        lastName: "Byron",
        version: 1
      })
      expect(yield* notInStep(collection)).toEqual([])
    }).pipe(Effect.scoped, Effect.provide(watched))
  )
})
