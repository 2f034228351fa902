import { expect } from "@effect/vitest"
import { MongoDatabase, Transaction } from "@twinbox/mongodb"
import { Message, Outbox, Topic } from "@twinbox/outbox"
import { Effect, Schema } from "effect"
import { ada, collection, makeCustomers, newId, nothing, stored, suite } from "./testRepository.ts"

const audit = Topic.anonymized("audit", Schema.Struct({ what: Schema.String }))

const appendAudit = (id: string) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox.Outbox
    yield* outbox.append(yield* Message.draft(audit, { key: `audit/${id}`, payload: { what: "saved" } }))
  })

const auditsOf = (id: string) =>
  Effect.flatMap(collection("outbox"), (outbox) =>
    Effect.promise(() => outbox.countDocuments({ key: `audit/${id}` }))
  )

for (const groupCommit of [false, true]) {
  suite(`A caller's transaction, group commit ${groupCommit ? "on" : "off"}`, (it) => {
    it.scoped("takes all writes in, with those of other collections and topics", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const notes = yield* collection("notes")
        const [created, deleted] = [newId(), yield* customers.create(ada)]
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* customers.create({ ...ada, _id: created })
            yield* customers.delete(deleted._id)
            yield* Transaction.use((session) => notes.insertOne({ _id: created }, { session }))
            yield* appendAudit(created)
          })
        )
        expect((yield* stored(created)).twin?.version).toBe(1)
        expect((yield* stored(deleted._id)).tombstone?.version).toBe(2)
        expect(yield* auditsOf(created)).toBe(1)
      })
    )

    it.scoped("takes all of them back when it fails", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const kept = yield* customers.create(ada)
        const before = yield* stored(kept._id)
        const ids = [newId(), newId(), newId()] as const
        const error = yield* Effect.flip(
          Transaction.run(
            Effect.gen(function* () {
              yield* customers.create({ ...ada, _id: ids[0] })
              yield* customers.createMany([
                { ...ada, _id: ids[1] },
                { ...ada, _id: ids[2] }
              ])
              yield* customers.update(kept._id, { visits: 1 })
              yield* customers.delete(kept._id)
              yield* appendAudit(ids[0])
              return yield* Effect.fail("no" as const)
            })
          )
        )
        expect(error).toBe("no")
        for (const id of ids) expect(yield* stored(id)).toEqual(nothing)
        expect(yield* stored(kept._id)).toEqual(before)
        expect(yield* auditsOf(ids[0])).toBe(0)
      })
    )

    it.scoped("gives several writes of one id rising sequences, also when fibers make them at once", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const _id = newId()
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* customers.create({ ...ada, _id })
            yield* Effect.forEach(
              Array.from({ length: 5 }),
              () => customers.update(_id, ({ visits }) => ({ visits: visits + 1 })),
              { concurrency: "unbounded", discard: true }
            )
            yield* customers.delete(_id)
            yield* customers.create({ ...ada, _id, visits: 100 })
          })
        )
        const { messages, original, tombstone } = yield* stored(_id)
        expect(original).toMatchObject({ version: 8, visits: 100 })
        expect(tombstone).toBeNull()
        expect(messages.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      })
    )

    it.scoped("goes on after a refusal that no operation of the database made", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const _id = newId()
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* Effect.flip(customers.update(newId(), { visits: 1 }))
            yield* Effect.flip(customers.create({ ...ada, firstName: "" }))
            yield* customers.create({ ...ada, _id })
            yield* Effect.flip(customers.update(_id, { visits: 1 }, 7))
          })
        )
        expect((yield* stored(_id)).messages).toHaveLength(1)
      })
    )

    it.scoped("is lost with a duplicate key, even if its body goes on", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const [taken, other] = [yield* customers.create(ada), newId()]
        const refused = Effect.ignore(customers.create({ ...ada, _id: taken._id }))
        for (const body of [refused, Effect.zipRight(refused, customers.create({ ...ada, _id: other }))]) {
          const error = yield* Effect.flip(Transaction.run(body))
          expect(error).toMatchObject({ _tag: "DuplicateKey", retryable: false })
        }
        expect(yield* stored(other)).toEqual(nothing)
      })
    )

    it.scoped("runs again as a whole when another writer gets in between, and nothing is done twice", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const database = yield* MongoDatabase.MongoDatabase
        const { _id } = yield* customers.create(ada)
        let runs = 0
        yield* Transaction.run(
          Effect.gen(function* () {
            runs += 1
            yield* customers.get(_id)
            // Another transaction changes the document after this one has begun to read.
            if (runs === 1) {
              yield* Effect.promise(() =>
                database.db
                  .collection<{ _id: string }>("customers")
                  .updateOne({ _id }, { $set: { visits: 10 } })
              )
            }
            yield* customers.update(_id, ({ visits }) => ({ visits: visits + 1 }))
          })
        )
        expect(runs).toBe(2)
        const { messages, original } = yield* stored(_id)
        expect(original).toMatchObject({ version: 2, visits: 11 })
        expect(messages).toHaveLength(2)
      })
    )
  })
}
