import { spawn } from "node:child_process"
import { once } from "node:events"
import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoInbox, MongoIndexes, MongoOutbox, Transaction } from "@twinbox/mongodb"
import { Inbox, Key } from "@twinbox/outbox"
import { type KeyRotation, RemoteWrites, type TwinRepository } from "@twinbox/repository"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Option, Random, Redacted } from "effect"
import { mongoWithShortLivedLocks } from "../../../../test/setup/shortLivedLocks.ts"
import { failNext } from "../../../mongodb/test/testDatabase.ts"
import { ada, Customer, newId, suite } from "../testRepository.ts"
import {
  customer,
  customersUnder,
  emailOf,
  keyOfVersion,
  notUnder,
  syncUnder,
  twinsOf
} from "./testRotation.ts"
import { everything, foreign, insertForeign, newCollection, until, upTo, using } from "./testSync.ts"

/** Those ids whose twin is found by the e-mail of its original, and no other twin with it. */
const findable = (
  { twins }: Pick<TwinRepository.TwinRepository<typeof ada, typeof ada, unknown>, "twins">,
  ids: ReadonlyArray<string>
) =>
  Effect.filter(
    ids,
    (id) =>
      Effect.map(
        twins.findByOriginal({ email: emailOf(id) }),
        (found) => found.length === 1 && found[0]?._id === id
      ),
    { concurrency: 8 }
  )

/** A second worker would wait for the first one's small range. */
const alone = { concurrency: 1 }

const withCustomers = (collection: string, count: number) =>
  Effect.gen(function* () {
    const customers = yield* customersUnder(collection, 1)
    const prefix = newId()
    const ids = upTo(count).map((at) => `${prefix}-${String(at).padStart(4, "0")}`)
    yield* customers.createMany(ids.map(customer))
    return { customers, ids }
  })

const optionsOf = (collection: string) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.promise(async () => {
      const [found] = await db.listCollections({ name: `${collection}_anonymised` }).toArray()
      return (found as { readonly options?: object } | undefined)?.options
    })
  )

const setOptions = (collection: string, options: object) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.promise(() => db.command({ collMod: `${collection}_anonymised`, ...options }))
  )

/** The states of all keys that the database knows: the instance has the newest. */
const statesOf = (collection: string, version: number) =>
  Effect.map(
    Effect.flatMap(syncUnder(collection, version), ({ rotation }) => rotation.status),
    ({ keys }) => keys.map(({ state, twins, version }) => `${version} ${state} ${twins}`)
  )

suite("A rotation of keys", (it) => {
  it.scoped("finds each twin by the value of its original before, in the middle and afterwards", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { ids } = yield* withCustomers(collection, 40)
      const both = yield* customersUnder(collection, 2, { previousKeys: [yield* keyOfVersion(1)] })
      const newestOnly = yield* customersUnder(collection, 2)
      expect(yield* findable(both, ids)).toEqual(ids)
      expect(yield* findable(newestOnly, ids)).toEqual([])

      const { rotation } = yield* syncUnder(collection, 2)
      const isHalfDone = yield* Deferred.make<void>()
      let written = 0
      const onReport = () =>
        Effect.suspend(() =>
          (written += 1) < 20
            ? Effect.void
            : Effect.zipRight(Deferred.succeed(isHalfDone, undefined), Effect.never)
        )
      const half = yield* Effect.fork(rotation.run({ onReport }))
      yield* Deferred.await(isHalfDone)
      expect(yield* findable(both, ids)).toEqual(ids)
      const missed = ids.length - (yield* findable(newestOnly, ids)).length
      expect(missed).toBeGreaterThan(0)
      expect(missed).toBeLessThan(40)
      expect((yield* rotation.status).keys.filter(({ twins }) => twins > 0)).toEqual([
        { version: 2, state: "active", twins: 40 - missed },
        { version: 1, state: "outdated", twins: missed }
      ])
      yield* Fiber.interrupt(half)

      expect(yield* rotation.run(alone)).toMatchObject({ left: 0, reports: [], tally: { examined: 40 } })
      expect(yield* notUnder(collection, 2)).toEqual([])
      expect(yield* findable(both, ids)).toEqual(ids)
      expect(yield* findable(newestOnly, ids)).toEqual(ids)
    })
  )

  it.scoped("misses no twin that changes its key while it is looked up", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { ids } = yield* withCustomers(collection, 150)
      yield* using(`${collection}_anonymised`, (found) => found.createIndex({ "address.line1": 1 }))
      const both = yield* customersUnder(collection, 2, { previousKeys: [yield* keyOfVersion(1)] })
      const { rotation } = yield* syncUnder(collection, 2)
      const running = yield* Effect.fork(rotation.run({ concurrency: 1, maxPerSecond: 300 }))
      let looks = 0
      yield* Effect.repeat(
        Effect.map(
          both.twins.findByOriginal({ "address.line1": ada.address.line1 }, { limit: 500 }),
          (found) => {
            looks += 1
            expect(found).toHaveLength(ids.length)
          }
        ),
        { until: () => Effect.map(Fiber.poll(running), Option.isSome) }
      )
      expect(looks).toBeGreaterThan(5)
      expect(yield* Fiber.join(running)).toMatchObject({ left: 0 })
    })
  )

  it.scoped("ends with all twins under the new key, whatever instances with either key write meanwhile", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { customers: old, ids } = yield* withCustomers(collection, 120)
      const renewed = yield* customersUnder(collection, 2)
      const { rotation } = yield* syncUnder(collection, 2)
      let hasEnough = false
      const saved = new Map<string, number>()
      const write = Effect.gen(function* () {
        const id = ids[yield* Random.nextIntBetween(0, ids.length)] ?? ""
        const visits = yield* Random.nextIntBetween(1, 1_000_000)
        yield* ((yield* Random.nextBoolean) ? old : renewed).update(id, { visits })
        saved.set(id, visits)
      })
      const writing = yield* Effect.fork(Effect.repeat(write, { until: () => hasEnough }))
      yield* rotation.run(alone)
      hasEnough = true
      yield* Fiber.join(writing)
      yield* old.update(ids[0] ?? "", { visits: -1 })
      expect((yield* notUnder(collection, 2)).length).toBeGreaterThan(0)
      expect(yield* rotation.run(alone)).toMatchObject({ left: 0, reports: [] })
      expect(yield* notUnder(collection, 2)).toEqual([])
      expect(saved.size).toBeGreaterThan(10)
      saved.set(ids[0] ?? "", -1)
      for (const [id, visits] of saved) {
        expect(yield* using(collection, (found) => found.findOne({ _id: id }))).toMatchObject({ visits })
      }
    })
  )

  it.scoped("tells which twins are left because their originals do not fit", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { ids } = yield* withCustomers(collection, 30)
      const [first = "", second = ""] = ids
      yield* using(collection, (found) =>
        found.updateMany({ _id: { $in: [first, second] } }, { $set: { address: "none" } })
      )
      const { rotation } = yield* syncUnder(collection, 2)
      const { left, reports } = yield* rotation.run(alone)
      expect(left).toBe(2)
      expect(reports).toEqual(
        [first, second].map((id) => ({
          id,
          kind: "unfit",
          outcome: "Left",
          details: ["address has the wrong type"]
        }))
      )
      expect(yield* Effect.flip(rotation.retire(1))).toMatchObject({ _tag: "KeyInUse", twins: 2 })
    })
  )

  it.scoped("is joined by whoever follows: what an instance with the old key writes is made anew", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const { customers: old, ids } = yield* withCustomers(collection, 10)
      const { follow, rotation } = yield* syncUnder(collection, 2)
      yield* rotation.run(alone)
      yield* Effect.fork(follow({ flushAfter: "20 millis" }))
      for (const id of ids) yield* old.update(id, { visits: 7 })
      yield* old.create(customer(newId()))
      yield* until(Effect.map(notUnder(collection, 2), (wrong) => wrong.length === 0))
      expect(yield* twinsOf(collection)).toHaveLength(11)
    })
  )
})

/** An instance with the old key that still runs while the new one has done all twins. */
const rotated = (count: number, settings: Partial<TwinRepository.Options<never>> = {}) =>
  Effect.gen(function* () {
    const collection = newCollection()
    const { ids } = yield* withCustomers(collection, count)
    const old = yield* customersUnder(collection, 1, settings as never)
    const { follow, rotation } = yield* syncUnder(collection, 2)
    yield* rotation.run(alone)
    return { collection, ids, old, rotation, follow }
  })

/** Saves by an instance with the old key, sooner and later than it is retired. */
const meet = (round: number) =>
  Effect.gen(function* () {
    const { collection, ids, old, rotation } = yield* rotated(1, { groupCommit: round % 2 === 0 })
    const save = (at: number) =>
      Effect.delay(
        Effect.either(at % 2 === 0 ? old.update(ids[0] ?? "", { visits: at + 1 }) : old.create(ada)),
        `${at * 3 + round} millis`
      )
    const [retired, ...saves] = yield* Effect.all([Effect.either(rotation.retire(1)), ...upTo(6).map(save)], {
      concurrency: "unbounded"
    })
    const twins = yield* using(`${collection}_anonymised`, (found) => found.countDocuments({ keyVersion: 1 }))
    for (const saved of saves) {
      if (saved._tag === "Left") expect(saved.left).toMatchObject({ _tag: "KeyRetired" })
    }
    if (retired._tag === "Right") expect(twins).toBe(0)
    else {
      expect(retired.left).toMatchObject({ _tag: "KeyInUse" })
      yield* rotation.run(alone)
      yield* rotation.retire(1)
    }
    expect(yield* notUnder(collection, 2)).toEqual([])
    return [retired._tag, ...saves.map(({ _tag }) => `save ${_tag}`)]
  })

/** Retires the first key, until it has been found unused; the server lets the validator wait for half a second. */
const beginToRetire = ({ retire }: KeyRotation.KeyRotation) =>
  Effect.gen(function* () {
    const database = yield* MongoDatabase.MongoDatabase
    const { count } = yield* failNext(database, 1, {
      failCommands: ["collMod"],
      blockConnection: true,
      blockTimeMS: 500
    })
    const fiber = yield* Effect.fork(retire(1))
    yield* Effect.promise(() =>
      database.client.db("admin").command({
        waitForFailPoint: "failCommand",
        timesEntered: Number(count) + 1,
        maxTimeMS: 30_000
      })
    )
    return fiber
  })

suite("A key that is to be retired", (it) => {
  it.scoped("is refused while a twin of it is there, and nothing changes", () =>
    Effect.gen(function* () {
      const { collection, ids, old, rotation } = yield* rotated(5)
      const [id = ""] = ids
      yield* old.update(id, { visits: 1 })
      const before = yield* everything(collection)
      expect(yield* Effect.flip(rotation.retire(1))).toMatchObject({
        _tag: "KeyInUse",
        collection,
        keyVersion: 1,
        twins: 1
      })
      expect(yield* everything(collection)).toEqual(before)
      expect(yield* optionsOf(collection)).toEqual({})
      yield* old.update(id, { visits: 2 })
      yield* rotation.run(alone)
      yield* using(`${collection}_anonymised`, (found) =>
        found.updateOne({ _id: id }, { $unset: { keyVersion: "" } })
      )
      expect(yield* Effect.flip(rotation.retire(1))).toMatchObject({ _tag: "KeyInUse", twins: 1 })
      expect(yield* statesOf(collection, 2)).toEqual(["2 active 4", "1 outdated 0"])
      expect(yield* rotation.status).toMatchObject({ keyVersion: 2, unknown: 1 })
    })
  )

  it.scoped("is refused if it is the newest, unknown, or the instance's own is not the newest", () =>
    Effect.gen(function* () {
      const { collection, rotation } = yield* rotated(1)
      expect(yield* Effect.flip(rotation.retire(2))).toMatchObject({
        _tag: "RetireRefused",
        reason: "Newest"
      })
      expect(yield* Effect.flip(rotation.retire(7))).toMatchObject({ reason: "Unknown" })
      const older = yield* syncUnder(collection, 1)
      expect(yield* Effect.flip(older.rotation.retire(1))).toMatchObject({ _tag: "SyncSuperseded" })
      expect(yield* Effect.flip(older.rotation.run(alone))).toMatchObject({ _tag: "SyncSuperseded" })
    })
  )

  for (const groupCommit of [false, true]) {
    it.scoped(
      `lets instances that have it write no twin any more, and nothing else of a save${groupCommit ? ", in a group" : ""}`,
      () =>
        Effect.gen(function* () {
          const { collection, ids, old, rotation } = yield* rotated(4, { groupCommit })
          const [first = "", second = ""] = ids
          yield* rotation.retire(1)
          yield* rotation.retire(1)
          expect(yield* statesOf(collection, 2)).toEqual(["2 active 4", "1 retired 0"])
          const before = yield* everything(collection)
          const saves = {
            create: old.create(ada),
            chosen: old.create(customer(newId())),
            many: old.createMany([customer(newId()), customer(newId())]),
            update: old.update(first, { visits: 9 }),
            patch: old.patch(first, { visits: 9 }),
            replace: old.replace(first, ada),
            joined: Transaction.run(Effect.zipRight(old.create(ada), old.update(second, { visits: 9 })))
          }
          const errors = yield* Effect.all(
            Object.values(saves).map((save: Effect.Effect<unknown, unknown, MongoDatabase.MongoDatabase>) =>
              Effect.flip(save)
            ),
            { concurrency: "unbounded" }
          )
          for (const error of errors) {
            expect(error).toMatchObject({ _tag: "KeyRetired", collection, keyVersion: 1, retryable: false })
          }
          expect(yield* everything(collection)).toEqual(before)

          // What makes no twin goes on, in whatever company.
          const [refused, deleted] = yield* Effect.all(
            [Effect.exit(old.update(first, { visits: 3 })), Effect.exit(old.delete(second))],
            { concurrency: "unbounded" }
          )
          expect(Exit.isFailure(refused)).toBe(true)
          expect(deleted).toEqual(Exit.succeed(3))
          const renewed = yield* customersUnder(collection, 2)
          expect(yield* renewed.update(first, { visits: 4 })).toMatchObject({ visits: 4, version: 3 })
        })
    )
  }

  it.scoped("leaves writes that another store has accepted to instances with the newest", () =>
    Effect.gen(function* () {
      const { collection, ids, old, rotation } = yield* rotated(1)
      const [id = ""] = ids
      yield* rotation.retire(1)
      const write = {
        id: newId(),
        position: "17-0",
        key: Key.make("customer", id),
        operation: "patch",
        body: JSON.stringify({ visits: 3 }),
        expectedVersion: undefined,
        headers: {}
      } as const
      const applyBy = (repository: typeof old) =>
        RemoteWrites.make({ repository, schema: Customer, consumer: "redis" }).pipe(
          Effect.provideServiceEffect(Inbox.Inbox, Effect.zipRight(MongoInbox.ensure, MongoInbox.make())),
          Effect.flatMap(({ apply }) => apply(write))
        )
      expect(yield* Effect.flip(applyBy(old))).toMatchObject({ _tag: "Undecided" })
      expect(yield* applyBy(yield* customersUnder(collection, 2))).toMatchObject({
        _tag: "Applied",
        state: { version: 3 }
      })
    })
  )

  it.scoped("lets no instance start that has it", () =>
    Effect.gen(function* () {
      const { collection, rotation } = yield* rotated(1)
      yield* customersUnder(collection, 1)
      yield* rotation.retire(1)
      const starts = [
        Effect.asVoid(customersUnder(collection, 1)),
        Effect.asVoid(syncUnder(collection, 1))
      ] as const
      for (const start of starts) {
        const error = yield* Effect.flip(start)
        expect(error).toMatchObject({ _tag: "KeyRetired", keyVersion: 1 })
        expect(error.message).toContain("newest ANONYMIZE_SECRET")
      }
      yield* customersUnder(collection, 2, { previousKeys: [yield* keyOfVersion(1)] })
      // It is retired for these twins, not for those of other collections.
      yield* customersUnder(newCollection(), 1)
    })
  )

  it.scoped("is retired in spite of a save that comes between, whose twin is made anew", () =>
    Effect.gen(function* () {
      const { collection, ids, old, rotation } = yield* rotated(5)
      const retiring = yield* beginToRetire(rotation)
      yield* old.update(ids[0] ?? "", { visits: 5 })
      yield* Fiber.join(retiring)
      expect(yield* notUnder(collection, 2)).toEqual([])
      expect(yield* statesOf(collection, 2)).toEqual(["2 active 5", "1 retired 0"])
    })
  )

  it.scoped("can be retired again when that was cut short at any step", () =>
    Effect.gen(function* () {
      const { collection, old, ids, rotation } = yield* rotated(3)
      const database = yield* MongoDatabase.MongoDatabase
      const cutShortAt = (command: string) =>
        Effect.scoped(
          Effect.zipRight(
            failNext(database, 1, { failCommands: [command], errorCode: 13 }),
            Effect.flip(rotation.retire(1))
          )
        )
      expect(yield* cutShortAt("collMod")).toMatchObject({ _tag: "Refused" })
      yield* old.update(ids[0] ?? "", { visits: 5 })
      yield* rotation.run(alone)
      expect(yield* cutShortAt("update")).toMatchObject({ _tag: "Refused" })
      expect(yield* statesOf(collection, 2)).toEqual(["2 active 3", "1 closed 0"])
      expect(yield* Effect.flip(old.update(ids[0] ?? "", { visits: 6 }))).toMatchObject({
        _tag: "KeyRetired"
      })
      expect(yield* Effect.flip(customersUnder(collection, 1))).toMatchObject({ _tag: "KeyRetired" })
      yield* rotation.retire(1)
      expect(yield* statesOf(collection, 2)).toEqual(["2 active 3", "1 retired 0"])
    })
  )

  it.scoped("never has a twin afterwards, however saves and retirements meet", () =>
    Effect.gen(function* () {
      const outcomes = yield* Effect.forEach(upTo(20), meet, { concurrency: 4 })
      expect(new Set(outcomes.flat()).size).toBeGreaterThan(2)
    })
  )
})

const versioned = { $jsonSchema: { bsonType: "object", required: ["version"] } }

suite("The validator that keeps twins of retired keys out", (it) => {
  it.scoped("is not set where one of the user's does not refuse", () =>
    Effect.gen(function* () {
      const { collection, ids, old, rotation } = yield* rotated(2)
      const options = { validator: versioned, validationLevel: "strict", validationAction: "warn" }
      yield* setOptions(collection, options)
      expect(yield* Effect.flip(rotation.retire(1))).toMatchObject({
        _tag: "RetireRefused",
        reason: "Validator"
      })
      expect(yield* optionsOf(collection)).toEqual(options)
      yield* old.update(ids[0] ?? "", { visits: 1 })
    })
  )

  it.scoped("is not taken for the reason when another one refuses a save", () =>
    Effect.gen(function* () {
      const { collection, ids, old } = yield* rotated(2)
      yield* setOptions(collection, { validator: { visits: { $lt: 100 } } })
      expect(yield* Effect.flip(old.update(ids[0] ?? "", { visits: 100 }))).toMatchObject({
        _tag: "Refused",
        code: 121
      })
    })
  )

  it.scoped("comes back with the next instance when somebody has taken it away", () =>
    Effect.gen(function* () {
      const { collection, ids, old, rotation } = yield* rotated(2)
      yield* rotation.retire(1)
      const guarded = yield* optionsOf(collection)
      yield* MongoIndexes.ensureCollections([`${collection}_anonymised`])
      yield* MongoIndexes.ensure
      expect(yield* optionsOf(collection)).toEqual(guarded)
      for (const options of [{ validator: {} }, { validationLevel: "off" }]) {
        yield* setOptions(collection, options)
        yield* customersUnder(collection, 2)
        expect(yield* optionsOf(collection)).toEqual(guarded)
      }
      yield* setOptions(collection, { validator: {} })
      expect(yield* Effect.flip(customersUnder(collection, 1))).toMatchObject({ _tag: "KeyRetired" })
      expect(yield* Effect.flip(old.update(ids[0] ?? "", { visits: 1 }))).toMatchObject({
        _tag: "KeyRetired"
      })
    })
  )
})

suite("A sync with an older key", (it) => {
  it.scoped("stops a sync that has the old one, rather than let it report one document after the other", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const old = yield* syncUnder(collection, 1)
      const following = yield* Effect.fork(old.follow({ flushAfter: "20 millis" }))
      yield* until(
        Effect.map(
          using("sync_follow", (found) => found.countDocuments({ _id: collection })),
          (count) => count === 1
        )
      )
      const { rotation } = yield* syncUnder(collection, 2)
      yield* rotation.retire(1)
      yield* insertForeign(collection, [foreign(newId())])
      const exit = yield* Fiber.await(following)
      expect(
        Option.getOrUndefined(Cause.failureOption(Exit.isFailure(exit) ? exit.cause : Cause.empty))
      ).toMatchObject({
        _tag: "SyncSuperseded",
        reason: "NewerKey"
      })
      expect(yield* twinsOf(collection)).toEqual([])
    })
  )
})

/** All twins are of the third key, and the database knows two before it. */
const rotatedTwice = Effect.gen(function* () {
  const collection = newCollection()
  yield* withCustomers(collection, 3)
  yield* syncUnder(collection, 2)
  const { rotation } = yield* syncUnder(collection, 3)
  yield* rotation.run(alone)
  return { collection, rotation }
})

suite("Two keys that are to be retired", (it) => {
  it.scoped("can be retired by several instances at once", () =>
    Effect.gen(function* () {
      const { collection, rotation } = yield* rotatedTwice
      yield* Effect.all([1, 2, 1, 2, 1].map(rotation.retire), { concurrency: "unbounded" })
      expect(yield* statesOf(collection, 3)).toEqual(["3 active 3", "2 retired 0", "1 retired 0"])
    })
  )

  it.scoped("stay retired both, when the one before has been begun first and is done last", () =>
    Effect.gen(function* () {
      const { collection, rotation } = yield* rotatedTwice
      const first = yield* beginToRetire(rotation)
      yield* rotation.retire(2)
      yield* Fiber.join(first)
      // Before another instance starts: that would mend it.
      expect(yield* optionsOf(collection)).toMatchObject({
        validator: { $and: [{ keyVersion: { $gte: 3 } }] }
      })
      expect(yield* statesOf(collection, 3)).toEqual(["3 active 3", "2 retired 0", "1 retired 0"])
    })
  )
})

suite("Two keys in a row", (it) => {
  it.scoped("are retired one after the other beside a validator of the user's, which stays in force", () =>
    Effect.gen(function* () {
      const { collection, ids, old, rotation } = yield* rotated(2)
      yield* setOptions(collection, { validator: versioned })
      yield* rotation.retire(1)
      expect(yield* Effect.flip(old.update(ids[0] ?? "", { visits: 1 }))).toMatchObject({
        _tag: "KeyRetired"
      })
      const { db } = yield* MongoDatabase.MongoDatabase
      const insert = (document: object) =>
        Effect.either(Effect.tryPromise(() => db.collection(`${collection}_anonymised`).insertOne(document)))
      expect((yield* insert({ keyVersion: 2 }))._tag).toBe("Left")
      expect((yield* insert({ version: 1 }))._tag).toBe("Left")
      expect((yield* insert({ version: 1, keyVersion: "2" }))._tag).toBe("Left")
      expect((yield* insert({ _id: newId(), version: 1, keyVersion: 2 }))._tag).toBe("Right")
      const { rotation: next } = yield* syncUnder(collection, 3)
      yield* next.run(alone)
      yield* next.retire(2)
      expect(yield* optionsOf(collection)).toMatchObject({
        validator: { $and: [{ keyVersion: { $gte: 3 } }, versioned] }
      })
    })
  )
})

const program = new URL("rotationProcess.ts", import.meta.url).pathname

/** Runs a rotation to another key until it has done so many twins, and kills it where it stands. */
const killAfter = (uri: string, lines: number) =>
  Effect.promise(async () => {
    const child = spawn(
      process.execPath,
      ["--conditions=twinbox-source", program, uri, "rotation", "customers", "2"],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    const closed = once(child, "close")
    let seen = 0
    child.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString().split("\n").length - 1
      if (seen >= lines) child.kill("SIGKILL")
    })
    const [, signal] = (await closed) as [number | null, string | null]
    return signal
  })

describe("A rotation that is killed", () => {
  it.scopedLive(
    "is gone on with, and what it had done is not done again",
    () =>
      Effect.gen(function* () {
        const { uri } = yield* mongoWithShortLivedLocks
        yield* Effect.gen(function* () {
          const { ids } = yield* withCustomers("customers", 400)
          expect(yield* killAfter(uri, 100)).toBe("SIGKILL")
          const done = 400 - (yield* notUnder("customers", 2)).length
          expect(done).toBeGreaterThan(50)
          expect(done).toBeLessThan(400)
          const { rotation } = yield* syncUnder("customers", 2)
          expect(yield* rotation.run(alone)).toMatchObject({ run: 1, left: 0, tally: { examined: 400 } })
          expect(yield* notUnder("customers", 2)).toEqual([])
          const twins = yield* twinsOf("customers")
          expect(twins).toHaveLength(ids.length)
          expect(new Set(twins.map(({ version }) => version))).toEqual(new Set([2]))
          yield* rotation.retire(1)
        }).pipe(
          Effect.scoped,
          Effect.provide(
            Layer.orDie(
              MongoOutbox.layer({ uri: Redacted.make(uri), database: "rotation", appName: "rotation" })
            )
          )
        )
      }),
    60_000
  )
})
