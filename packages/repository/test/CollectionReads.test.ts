import { expect } from "@effect/vitest"
import { MongoDatabase, Transaction } from "@twinbox/mongodb"
import { Chunk, Effect, Option, Stream } from "effect"
import { ObjectId } from "mongodb"
import { ada, collection, makeCustomers, newId, suite } from "./testRepository.ts"

/** More than two pages of a stream. */
const many = 1_203

suite("CollectionReads", (it) => {
  it.scoped("get finds the original and the twin of an id, or nothing", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const saved = yield* customers.create(ada)
      expect(yield* customers.get(saved._id)).toEqual(Option.some(saved))
      const twin = Option.getOrThrow(yield* customers.twins.get(saved._id))
      expect(twin).toMatchObject({ _id: saved._id, version: 1, visits: 0, createdAt: ada.createdAt })
      expect(twin).not.toHaveProperty("keyVersion")
      expect(yield* customers.get(newId())).toEqual(Option.none())
      expect(yield* customers.twins.get(newId())).toEqual(Option.none())
    })
  )

  it.scoped("find filters, sorts and limits, 100 documents unless told otherwise", () =>
    Effect.gen(function* () {
      const people = yield* makeCustomers({ collection: "found", stream: "found" })
      yield* people.createMany(Array.from({ length: 150 }, (_, visits) => ({ ...ada, visits })))
      expect(yield* people.find({})).toHaveLength(100)
      const top = yield* people.find({ visits: { $lt: 100 } }, { sort: { visits: -1 }, limit: 3 })
      expect(top.map(({ visits }) => visits)).toEqual([99, 98, 97])
      const twins = yield* people.twins.find({ "address.city": "London" }, { limit: 1_000 })
      expect(twins).toHaveLength(150)
      expect(JSON.stringify(twins)).not.toContain(ada.lastName)
    })
  )

  it.scoped("stream brings all that match, each once, by rising id, however many pages", () =>
    Effect.gen(function* () {
      const people = yield* makeCustomers({ collection: "streamed", stream: "streamed" })
      const saved = yield* people.createMany(
        Array.from({ length: many }, (_, visits) => ({ ...ada, _id: newId(), visits }))
      )
      const ids = saved.map(({ _id }) => _id).toSorted()
      const read = <A extends { readonly _id: string }, E, R>(stream: Stream.Stream<A, E, R>) =>
        Effect.map(Stream.runCollect(stream), (chunk) => Chunk.toReadonlyArray(chunk).map(({ _id }) => _id))
      expect(yield* read(people.stream())).toEqual(ids)
      expect(yield* read(people.twins.stream())).toEqual(ids)
      const even = saved.flatMap(({ _id, visits }) => (visits % 2 === 0 ? [_id] : [])).toSorted()
      expect(yield* read(people.stream({ visits: { $mod: [2, 0] } }))).toEqual(even)
      // Documents that go while the stream is on its way leave no gap behind them.
      const first = yield* people.stream().pipe(
        Stream.tap(({ _id }) => (_id === ids[499] ? people.delete(_id) : Effect.void)),
        read
      )
      expect(first).toEqual(ids)
    })
  )

  it.scoped("stream reports documents with other ids than text, and skips none", () =>
    Effect.gen(function* () {
      const people = yield* makeCustomers({ collection: "mixed", stream: "mixed" })
      yield* people.createMany(Array.from({ length: 501 }, () => ({ ...ada, _id: newId() })))
      const originals = yield* collection("mixed")
      yield* Effect.promise(() => originals.insertOne({ ...ada, _id: new ObjectId() as never }))
      const seen: Array<string> = []
      const error = yield* Effect.flip(
        Stream.runForEach(people.stream(), ({ _id }) => Effect.sync(() => seen.push(_id)))
      )
      expect(error).toMatchObject({ _tag: "InvalidDocument", stored: true, issues: [{ path: "_id" }] })
      expect(seen).toHaveLength(500)
    })
  )

  it.scoped("reads what its own transaction has written, and nobody else does", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const outside = yield* MongoDatabase.MongoDatabase
      const _id = newId()
      yield* Transaction.run(
        Effect.gen(function* () {
          yield* customers.create({ ...ada, _id })
          expect(Option.isSome(yield* customers.get(_id))).toBe(true)
          expect(yield* customers.twins.find({ _id })).toHaveLength(1)
          expect(Chunk.size(yield* Stream.runCollect(customers.stream({ _id })))).toBe(1)
          const seen = yield* Effect.promise(() =>
            outside.db.collection<{ _id: string }>("customers").findOne({ _id })
          )
          expect(seen).toBeNull()
        })
      )
      expect(Option.isSome(yield* customers.get(_id))).toBe(true)
    })
  )

  it.scoped("fails with a typed error for a filter that the server refuses", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const error = yield* Effect.flip(customers.find({ visits: { $nonsense: "hunter2" } } as never))
      expect(error).toMatchObject({ _tag: "Refused", retryable: false })
      expect(JSON.stringify(error)).not.toContain("hunter2")
    })
  )
})
