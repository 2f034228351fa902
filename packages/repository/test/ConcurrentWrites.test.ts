import { expect } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import { OutboxStore, Slot } from "@twinbox/outbox"
import { Effect, Fiber, Option, Schedule } from "effect"
import { failNext } from "../../mongodb/test/testDatabase.ts"
import type { WriteError } from "../src/RepositoryError.ts"
import {
  ada,
  anotherProcess,
  collection,
  countTransactions,
  type Customers,
  makeCustomers,
  newId,
  nothing,
  stored,
  suite,
  writeForeign
} from "./testRepository.ts"

const upTo = (count: number) => Array.from({ length: count }, (_, at) => at)
const increment = ({ visits }: { readonly visits: number }) => ({ visits: visits + 1 })

/** The sequences of an id in the order in which its messages commit, as a relay would see them. */
const followSequences = (id: string, count: number) =>
  Effect.gen(function* () {
    const store = yield* OutboxStore.OutboxStore
    const feed = yield* store.watch([Slot.ofKey(`customer/${id}`)])
    const seen: Array<number> = []
    const read = Effect.map(feed.next, (batch) => {
      for (const one of batch) {
        if (one._tag === "Message" && one.message.key === `customer/${id}`) seen.push(one.message.sequence)
      }
    })
    return yield* Effect.fork(Effect.as(Effect.repeat(read, { until: () => seen.length >= count }), seen))
  })

/** Holds the only worker of a group commit, so that what is submitted next shares one transaction. */
const together = <A, E, R>(customers: Customers, effect: Effect.Effect<A, E, R>) =>
  Effect.zipRight(Effect.fork(customers.create(ada)), Effect.zipRight(Effect.yieldNow(), effect))

const oneGroup = { concurrency: 1 }

for (const groupCommit of [false, true]) {
  suite(`Concurrent writes, group commit ${groupCommit ? "on" : "off"}`, (it) => {
    it.scoped("of one id all succeed, one version after the other, and their messages in that order", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const { _id } = yield* customers.create(ada)
        const following = yield* followSequences(_id, 64)
        const updated = yield* Effect.forEach(upTo(64), () => customers.update(_id, increment), {
          concurrency: "unbounded"
        })
        expect(updated.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(
          upTo(64).map((at) => at + 2)
        )
        for (const { version, visits } of updated) expect(visits).toBe(version - 1)
        expect(yield* Fiber.join(following)).toEqual(upTo(64).map((at) => at + 2))
        expect((yield* stored(_id)).twin).toMatchObject({ version: 65, visits: 64 })
      })
    )

    it.scoped("with one expected version: one succeeds, the others learn of it", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        for (let round = 0; round < 20; round++) {
          const { _id } = yield* customers.create(ada)
          const outcomes = yield* Effect.forEach(
            upTo(5),
            (visits) => Effect.either(customers.update(_id, { visits: visits + 1 }, 1)),
            { concurrency: "unbounded" }
          )
          const tags = outcomes.map((outcome) => (outcome._tag === "Right" ? "saved" : outcome.left._tag))
          expect(tags.toSorted()).toEqual([...upTo(4).map(() => "VersionConflict"), "saved"])
          expect((yield* stored(_id)).messages).toHaveLength(2)
        }
      })
    )

    it.scoped("of one new id: one is created, the others are duplicates", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        for (let round = 0; round < 20; round++) {
          const _id = newId()
          const outcomes = yield* Effect.forEach(
            upTo(5),
            (visits) => Effect.either(customers.create({ ...ada, _id, visits })),
            { concurrency: "unbounded" }
          )
          const tags = outcomes.map((outcome) => (outcome._tag === "Right" ? "saved" : outcome.left._tag))
          expect(tags.toSorted()).toEqual([...upTo(4).map(() => "DuplicateKey"), "saved"])
          expect((yield* stored(_id)).messages).toHaveLength(1)
        }
      })
    )

    it.scoped("from two processes lose no update, and leave no gap in the sequences", () =>
      Effect.gen(function* () {
        const here = yield* makeCustomers({ groupCommit })
        const there = yield* Effect.flatMap(anotherProcess, (services) =>
          Effect.provide(makeCustomers({ groupCommit }), services)
        )
        const created = yield* here.createMany(upTo(3).map(() => ada))
        const incrementOnce = (customers: Customers, id: string) =>
          Effect.gen(function* () {
            const { version, visits } = Option.getOrThrow(yield* customers.get(id))
            yield* customers.update(id, { visits: visits + 1 }, version)
          }).pipe(
            Effect.retry({
              while: ({ _tag }) => _tag === "VersionConflict" || _tag === "WriteContention",
              schedule: Schedule.jittered(Schedule.spaced("5 millis"))
            })
          )
        yield* Effect.forEach(
          upTo(90),
          (at) => incrementOnce(at % 2 === 0 ? here : there, created[at % 3]?._id ?? ""),
          { concurrency: 12 }
        )
        for (const { _id } of created) {
          const { messages, original, twin } = yield* stored(_id)
          expect([original, twin]).toMatchObject([
            { visits: 30, version: 31 },
            { visits: 30, version: 31 }
          ])
          expect(messages.map(({ sequence }) => sequence)).toEqual(upTo(31).map((at) => at + 1))
        }
      })
    )

    it.scoped("creates, changes and deletes of few ids leave each as its last message says", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const ids = upTo(5).map(newId)
        const expectedErrors = ["NotFound", "DuplicateKey"]
        yield* Effect.forEach(
          upTo(200),
          (at) => {
            const _id = ids[(at * 7) % ids.length] ?? ""
            const kind = (at * 13) % 4
            const write: Effect.Effect<unknown, WriteError> =
              kind === 0
                ? customers.delete(_id)
                : kind === 1
                  ? customers.create({ ...ada, _id })
                  : customers.update(_id, increment)
            return Effect.catchIf(
              write,
              ({ _tag }) => expectedErrors.includes(_tag),
              () => Effect.void
            )
          },
          { concurrency: "unbounded", discard: true }
        )
        for (const id of ids) {
          const { messages, original, tombstone, twin } = yield* stored(id)
          const last = messages.at(-1)
          expect(messages.map(({ sequence }) => sequence)).toEqual(upTo(messages.length).map((at) => at + 1))
          if (last?.payload === null) {
            expect([original, twin, tombstone?.version]).toEqual([null, null, last.sequence])
          } else {
            expect([original?.version, twin?.version, tombstone]).toEqual([
              last?.sequence,
              last?.sequence,
              null
            ])
            expect(last?.payload).toMatchObject({ visits: original?.["visits"] })
          }
        }
      })
    )
  })
}

suite("Group commit on MongoDB", (it) => {
  it.scoped("lets writes that arrive together share one transaction", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: oneGroup })
      const [updated, deleted] = yield* customers.createMany([ada, ada])
      for (const round of upTo(20)) {
        const ids = upTo(100).map(newId)
        const { count } = yield* countTransactions(
          together(
            customers,
            Effect.all(
              [
                ...ids.map((_id) => customers.create({ ...ada, _id })),
                customers.create(ada),
                customers.update(updated?._id ?? "", increment),
                round === 0 ? customers.delete(deleted?._id ?? "") : Effect.void
              ],
              { concurrency: "unbounded", discard: true }
            )
          )
        )
        expect(count).toBe(2)
        expect((yield* stored(ids[99] ?? "")).messages).toHaveLength(1)
        expect((yield* stored(updated?._id ?? "")).twin).toMatchObject({
          visits: round + 1,
          version: round + 2
        })
      }
      expect((yield* stored(deleted?._id ?? "")).tombstone?.version).toBe(2)
    })
  )

  it.scoped("fails stale versions and missing documents alone, in the same transaction", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: oneGroup })
      const [one, two] = yield* customers.createMany([ada, ada])
      const { count, value } = yield* countTransactions(
        together(
          customers,
          Effect.all(
            [
              customers.update(one?._id ?? "", { visits: 1 }, 7),
              customers.update(newId(), { visits: 1 }),
              customers.update(two?._id ?? "", { visits: 1 }, 1),
              customers.delete(newId()),
              customers.create(ada)
            ],
            { concurrency: "unbounded", mode: "either" }
          )
        )
      )
      expect(value.map((outcome) => (outcome._tag === "Right" ? "saved" : outcome.left._tag))).toEqual([
        "VersionConflict",
        "NotFound",
        "saved",
        "NotFound",
        "saved"
      ])
      expect(count).toBe(2)
    })
  )

  it.scoped("takes duplicate keys out, one more transaction for each, and commits the rest", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: oneGroup })
      const taken = yield* customers.createMany([ada, ada])
      const changed = yield* customers.create(ada)
      const ids = [newId(), taken[0]?._id ?? "", newId(), taken[1]?._id ?? "", newId()]
      const { count, value } = yield* countTransactions(
        together(
          customers,
          Effect.all(
            [
              customers.update(changed._id, increment),
              ...ids.map((_id) => customers.create({ ...ada, _id }))
            ],
            { concurrency: "unbounded", mode: "either" }
          )
        )
      )
      expect(value.map((outcome) => (outcome._tag === "Right" ? "saved" : outcome.left._tag))).toEqual([
        "saved",
        "saved",
        "DuplicateKey",
        "saved",
        "DuplicateKey",
        "saved"
      ])
      expect(count).toBe(1 + 3)
      expect((yield* stored(changed._id)).twin).toMatchObject({ visits: 1, version: 2 })
      for (const id of ids) expect((yield* stored(id)).messages).toHaveLength(1)
    })
  )

  it.scoped("a unique index of the user's own counts as a duplicate key too, on the twins as well", () =>
    Effect.gen(function* () {
      const people = yield* makeCustomers({ collection: "unique", groupCommit: oneGroup })
      for (const [name, field] of [
        ["unique", "email"],
        ["unique_anonymised", "lastName"]
      ] as const) {
        const indexed = yield* collection(name)
        yield* Effect.promise(() => indexed.createIndex({ [field]: 1 }, { unique: true }))
      }
      const inputs = [
        { ...ada, email: "1@example.org", lastName: "A" },
        { ...ada, email: "1@example.org", lastName: "B" },
        { ...ada, email: "2@example.org", lastName: "C" },
        { ...ada, email: "3@example.org", lastName: "C" }
      ]
      const hold = yield* Effect.fork(people.create(ada))
      yield* Effect.yieldNow()
      const outcomes = yield* Effect.forEach(inputs, (input) => Effect.either(people.create(input)), {
        concurrency: "unbounded"
      })
      yield* Fiber.join(hold)
      expect(
        outcomes.map((outcome) =>
          outcome._tag === "Right"
            ? "saved"
            : outcome.left._tag === "DuplicateKey" && [outcome.left.collection, ...outcome.left.fields]
        )
      ).toEqual(["saved", ["unique", "email"], "saved", ["unique_anonymised", "lastName"]])
    })
  )

  it.scoped("sends only the commit again when its outcome is unknown: nothing is applied twice", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: oneGroup })
      const database = yield* MongoDatabase.MongoDatabase
      const created = yield* customers.createMany(upTo(10).map(() => ada))
      yield* failNext(database, 4, {
        failCommands: ["commitTransaction"],
        writeConcernError: { code: 64, errmsg: "waiting for replication timed out" }
      })
      const id = newId()
      const { count } = yield* countTransactions(
        together(
          customers,
          Effect.all(
            [
              ...created.map(({ _id }) => customers.update(_id, increment)),
              customers.create({ ...ada, _id: id })
            ],
            { concurrency: "unbounded", discard: true }
          )
        )
      )
      expect(count).toBe(2)
      for (const { _id } of created) {
        const { messages, twin } = yield* stored(_id)
        expect(twin).toMatchObject({ visits: 1, version: 2 })
        expect(messages).toHaveLength(2)
      }
      expect((yield* stored(id)).messages).toHaveLength(1)
    })
  )

  it.scoped("does not fail the neighbours of a document that is too heavy or that the server refuses", () =>
    Effect.gen(function* () {
      const people = yield* makeCustomers({ collection: "strict", groupCommit: oneGroup })
      const { db } = yield* MongoDatabase.MongoDatabase
      yield* Effect.promise(() => db.command({ collMod: "strict", validator: { visits: { $lt: 1_000 } } }))
      const [grown, fine] = yield* people.createMany([ada, ada])
      const [before, after] = [newId(), newId()]
      const outcomes = yield* together(
        people,
        Effect.all(
          [
            people.create({ ...ada, _id: before }),
            people.update(grown?._id ?? "", { note: "x".repeat(17 * 1024 * 1024) }),
            people.create({ ...ada, visits: 1_000 }),
            people.update(fine?._id ?? "", increment),
            people.create({ ...ada, _id: after })
          ],
          { concurrency: "unbounded", mode: "either" }
        )
      )
      expect(outcomes.map((outcome) => (outcome._tag === "Right" ? "saved" : outcome.left._tag))).toEqual([
        "saved",
        "TransactionTooLarge",
        "Refused",
        "saved",
        "saved"
      ])
      expect((yield* stored(fine?._id ?? "", "strict")).twin).toMatchObject({ visits: 1, version: 2 })
      for (const id of [before, after]) expect((yield* stored(id, "strict")).messages).toHaveLength(1)
    })
  )

  it.scoped("does not fail the neighbours of a patch that throws", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: oneGroup })
      const [one, two] = yield* customers.createMany([ada, ada])
      const throwing = customers.update(one?._id ?? "", () => {
        throw new Error("a bug")
      })
      const [bug, good] = yield* together(
        customers,
        Effect.all([Effect.exit(throwing), Effect.exit(customers.update(two?._id ?? "", increment))], {
          concurrency: "unbounded"
        })
      )
      expect([bug._tag, good._tag]).toEqual(["Failure", "Success"])
    })
  )

  it.scoped("an interruption withdraws a write that waits, and waits for one that has started", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: oneGroup })
      const database = yield* MongoDatabase.MongoDatabase
      const round = Effect.gen(function* () {
        const [started, waiting] = [newId(), newId()]
        yield* failNext(database, 1, { failCommands: ["insert"], blockConnection: true, blockTimeMS: 100 })
        const first = yield* Effect.fork(customers.create({ ...ada, _id: started }))
        yield* Effect.sleep("20 millis")
        const second = yield* Effect.fork(customers.create({ ...ada, _id: waiting }))
        yield* Effect.sleep("5 millis")
        yield* Fiber.interrupt(second)
        yield* Fiber.interrupt(first)
        expect((yield* stored(started)).messages).toHaveLength(1)
        expect(yield* stored(waiting)).toEqual(nothing)
      })
      yield* Effect.repeatN(Effect.scoped(round), 4)
    })
  )

  it.scoped("ends with its scope while writes wait, and hangs nobody", () =>
    Effect.gen(function* () {
      const ids = upTo(300).map(newId)
      const fibers = yield* Effect.scoped(
        Effect.gen(function* () {
          const customers = yield* makeCustomers({ groupCommit: { maxCount: 10 } })
          const forked = yield* Effect.forEach(ids, (_id) =>
            Effect.forkDaemon(customers.create({ ...ada, _id }))
          )
          yield* Effect.sleep("10 millis")
          return forked
        })
      )
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      for (const [at, exit] of exits.entries()) {
        const { messages } = yield* stored(ids[at] ?? "")
        expect(messages).toHaveLength(exit._tag === "Success" ? 1 : 0)
      }
    })
  )

  it.scoped("lets foreign writers of the same documents through, and loses nothing of either", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: true })
      const ids = upTo(10).map(newId)
      yield* Effect.forEach(ids, (_id) => writeForeign({ _id, ...ada }))
      const originals = yield* collection("customers")
      yield* Effect.all(
        ids.flatMap((_id) => [
          Effect.asVoid(customers.update(_id, increment)),
          Effect.promise(() => originals.updateOne({ _id }, { $inc: { foreign: 1 } as never })),
          Effect.asVoid(customers.update(_id, increment))
        ]),
        { concurrency: "unbounded" }
      )
      for (const id of ids) {
        expect((yield* stored(id)).original).toMatchObject({ visits: 2, foreign: 1, version: 2 })
      }
    })
  )
})
