import { expect } from "@effect/vitest"
import { Anonymize } from "@twinbox/anonymize"
import { MongoDatabase } from "@twinbox/mongodb"
import { OutboxAdmin, OutboxStore, Slot } from "@twinbox/outbox"
import { Cause, Effect, Schema } from "effect"
import { TwinRepository } from "@twinbox/repository"
import { ada, collection, keyOf, makeCustomers, newId, stored, suite, topic } from "./testRepository.ts"

const otherSecret = "5b0c4e6a17f2939f1c5a7be03d42688d"

suite("TwinRepository.make", (it) => {
  it.scoped("accepts one secret for a key version, from many processes at once and ever after", () =>
    Effect.gen(function* () {
      yield* Effect.all(
        Array.from({ length: 8 }, () => makeCustomers()),
        { concurrency: "unbounded" }
      )
      yield* makeCustomers()
    })
  )

  it.scoped("refuses a second secret under the same version, and takes it under a new one", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ key: yield* keyOf(1) })
      const error = yield* Effect.flip(makeCustomers({ key: yield* keyOf(1, otherSecret) }))
      expect(error).toMatchObject({ _tag: "KeyMismatch", keyVersion: 1, retryable: false })
      expect(JSON.stringify(error) + error.message).not.toContain(otherSecret.slice(0, 8))

      const { _id } = yield* customers.create(ada)
      const before = (yield* stored(_id)).twin
      const renewed = yield* makeCustomers({ key: yield* keyOf(2, otherSecret) })
      yield* renewed.update(_id, { visits: 1 })
      const { twin } = yield* stored(_id)
      expect(twin).toMatchObject({ keyVersion: 2, version: 2, visits: 1 })
      for (const field of ["firstName", "lastName", "email"]) expect(twin?.[field]).not.toBe(before?.[field])
    })
  )

  it.scoped("names collections and keys as it is told", () =>
    Effect.gen(function* () {
      const names = {
        collection: "people",
        twinCollection: "people_twins",
        tombstoneCollection: "people_gone"
      }
      const people = yield* makeCustomers({ ...names, stream: "person" })
      const _id = newId()
      yield* people.create({ ...ada, _id })
      yield* people.delete(_id)
      expect((yield* stored(_id, "people")).messages).toEqual([])
      expect(yield* people.create({ ...ada, _id })).toMatchObject({ version: 3 })
    })
  )

  it.scoped("tells the outbox where the versions of its keys are, and when that has changed", () =>
    Effect.gen(function* () {
      const streams = yield* collection("outbox_streams")
      const registered = Effect.promise(() => streams.findOne({ _id: "guest" }))
      const names = { collection: "guests", tombstoneCollection: "guests_gone", stream: "guest" }
      yield* Effect.all(
        Array.from({ length: 4 }, () => makeCustomers(names)),
        { concurrency: "unbounded" }
      )
      expect(yield* registered).toEqual({ _id: "guest", collection: "guests", tombstones: "guests_gone" })
      yield* makeCustomers({ collection: "visitors", stream: "guest" })
      expect(yield* registered).toEqual({
        _id: "guest",
        collection: "visitors",
        tombstones: "visitors_tombstones"
      })
    })
  )

  it.scoped("keeps a mirror from getting a requeued message that is older than the customer", () =>
    Effect.gen(function* () {
      const { db } = yield* MongoDatabase.MongoDatabase
      const admin = yield* OutboxAdmin.OutboxAdmin
      const store = yield* OutboxStore.OutboxStore
      const customers = yield* makeCustomers({ collection: "members", stream: "member" })
      yield* store.registerSinks([{ name: "members-mirror", topics: [topic.name], isMirror: true }])
      const { _id: changed } = yield* customers.create(ada)
      const { _id: removed } = yield* customers.create(ada)
      const { _id: same } = yield* customers.create(ada)
      const keys = [changed, removed, same].map((id) => `member/${id}`)
      const slots = keys.map(Slot.ofKey)
      yield* store.join("relay-of-members", 5_000)
      const claimed = yield* store.claim("relay-of-members", slots)
      const found = yield* Effect.promise(() =>
        db
          .collection("outbox")
          .find({ key: { $in: keys } })
          .toArray()
      )
      yield* store.settle(
        { owner: "relay-of-members", epochs: new Map(claimed.map(({ epoch, slot }) => [slot, epoch])) },
        found.map(({ _id, slot }) => ({
          messageId: String(_id),
          slot: Number(slot),
          behind: [],
          dead: [
            {
              messageId: String(_id),
              slot: Number(slot),
              sink: "members-mirror",
              reason: "Rejected",
              error: "refused by a test",
              attempts: 1,
              blocks: true,
              history: [],
              at: 0
            }
          ]
        }))
      )
      yield* customers.update(changed, { visits: 1 })
      yield* customers.delete(removed)
      expect(yield* admin.requeue({ sink: "members-mirror" })).toEqual({
        requeued: 1,
        superseded: 2,
        corrupt: 0
      })
    })
  )

  it.scoped("dies of a Schema that has fields of the repository's own names", () =>
    Effect.gen(function* () {
      const kept = Schema.String.pipe(Anonymize.keep)
      const schema = Schema.Struct({ version: kept, fingerprint: kept, name: kept })
      const cause = yield* Effect.flip(
        Effect.sandbox(TwinRepository.make({ schema, collection: "clashing", topic, key: yield* keyOf(1) }))
      )
      expect(Cause.pretty(cause)).toContain("version, fingerprint")
    })
  )

  it.scoped("dies of a stream name that no key can begin with", () =>
    Effect.gen(function* () {
      const cause = yield* Effect.flip(Effect.sandbox(makeCustomers({ stream: "Customer.v1" })))
      expect(Cause.pretty(cause)).toContain("Customer.v1")
    })
  )

  it.scoped("refuses fields without a privacy annotation", () =>
    Effect.gen(function* () {
      const schema = Schema.Struct({ name: Schema.String })
      const key = yield* keyOf(1)
      const error = yield* Effect.flip(
        // @ts-expect-error the field `name` has no annotation
        TwinRepository.make({ schema, collection: "unannotated", topic, key })
      )
      expect(error).toMatchObject({ _tag: "UnannotatedField", paths: ["name"] })
    })
  )
})
