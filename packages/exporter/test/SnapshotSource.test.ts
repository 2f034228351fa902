import { describe, expect, it } from "@effect/vitest"
import { SnapshotSource } from "@twinbox/exporter"
import { Chunk, Effect, Stream } from "effect"
import { MongoClient } from "mongodb"
import { testMongo } from "../../../test/setup/testServers.ts"

interface Stored {
  readonly _id: string
  readonly version: number
  readonly [field: string]: unknown
}

const idOf = (n: number) => `customer-${String((n * 7919) % 100_000).padStart(6, "0")}`

/** A collection of so many documents. */
const collectionOf = (count: number) =>
  Effect.gen(function* () {
    const { database, uri } = yield* testMongo
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new MongoClient(uri)),
      (opened) => Effect.promise(() => opened.close())
    )
    const collection = client.db(database).collection<Stored>("things")
    const documents = Array.from({ length: count }, (_, n) => ({
      _id: idOf(n),
      version: n + 1,
      name: `name ${n}`,
      address: { city: "Köln", line1: "secret" }
    }))
    if (count > 0) yield* Effect.promise(() => collection.insertMany(documents))
    return { client, collection, documents, db: client.db(database) }
  })

const idsOf = (records: Iterable<SnapshotSource.Page["records"]>) =>
  [...records].flatMap((chunk) => Chunk.toReadonlyArray(chunk).map(({ _id }) => String(_id)))

describe("a snapshot of a collection", () => {
  for (const count of [0, 1, 499, 500, 501, 4000]) {
    it.scopedLive(`of ${count} documents has each exactly once, with its version`, () =>
      Effect.gen(function* () {
        const { collection, documents } = yield* collectionOf(count)
        const source = yield* SnapshotSource.make({ collection, ranges: 4, pageSize: 250 })
        expect(source.total).toBe(count)
        const found = Chunk.toReadonlyArray(yield* Stream.runCollect(source.records))
        const byId = (one: { readonly _id?: unknown }, other: { readonly _id?: unknown }) =>
          String(one._id) < String(other._id) ? -1 : 1
        expect(found.toSorted(byId)).toEqual(
          documents.map((document) => ({ ...document, deleted: false })).toSorted(byId)
        )
      })
    )
  }

  it.scopedLive("is read in ranges side by side that meet without gap or overlap", () =>
    Effect.gen(function* () {
      const { collection } = yield* collectionOf(4000)
      const { pages, positions } = yield* SnapshotSource.make({ collection, ranges: 4, pageSize: 100 })
      expect(positions).toHaveLength(4)
      expect(positions.map(({ from }) => from).slice(1)).toEqual(positions.map(({ to }) => to).slice(0, -1))
      const order = Chunk.toReadonlyArray(yield* Stream.runCollect(pages)).map(({ range }) => range)
      expect(new Set(order).size).toBe(4)
      // The last range begins before the first has ended.
      expect(order.indexOf(3)).toBeLessThan(order.lastIndexOf(0))
    })
  )

  it.scopedLive("goes on where it was left, from the last page of each range", () =>
    Effect.gen(function* () {
      const { collection, documents } = yield* collectionOf(3000)
      const options = { collection, ranges: 3, pageSize: 100 }
      const first = yield* SnapshotSource.make(options)
      const read = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(first.pages, 13)))
      const positions = first.positions.map(
        (start, range) => read.filter((page) => page.range === range).at(-1)?.position ?? start
      )
      const second = yield* SnapshotSource.make({ ...options, positions })
      const rest = Chunk.toReadonlyArray(yield* Stream.runCollect(second.pages))
      const ids = idsOf([...read, ...rest].map(({ records }) => records))
      expect(ids.toSorted()).toEqual(documents.map(({ _id }) => _id).toSorted())
      const through = first.positions.map((position) => ({ ...position, isThrough: true }))
      const nothing = yield* SnapshotSource.make({ ...options, positions: through })
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(nothing.records))).toEqual([])
    })
  )

  it.scopedLive("reads the chosen fields only, always with id and version, and decodes", () =>
    Effect.gen(function* () {
      const { collection } = yield* collectionOf(1)
      const chosen = yield* SnapshotSource.make({ collection, columns: ["deleted", "address.city"] })
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(chosen.records))).toEqual([
        { _id: idOf(0), version: 1, deleted: false, address: { city: "Köln" } }
      ])
      const both = yield* SnapshotSource.make({ collection, columns: ["address.city", "address"] })
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(both.records))).toEqual([
        { _id: idOf(0), version: 1, deleted: false, address: { city: "Köln", line1: "secret" } }
      ])
      const decoded = yield* SnapshotSource.make({
        collection,
        decode: ({ _id, version }) => ({ _id, version, more: true })
      })
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(decoded.records))).toEqual([
        { _id: idOf(0), version: 1, more: true, deleted: false }
      ])
    })
  )

  it.scopedLive("gives what another program wrote without a version one that is lower than all", () =>
    Effect.gen(function* () {
      const { collection, db } = yield* collectionOf(0)
      yield* Effect.promise(() => db.collection<{ _id: string }>("things").insertOne({ _id: "foreign" }))
      const { records } = yield* SnapshotSource.make({ collection })
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(records))).toEqual([
        { _id: "foreign", version: 0, deleted: false }
      ])
    })
  )

  it.scopedLive("is read no faster than it is wanted", () =>
    Effect.gen(function* () {
      const { collection, db } = yield* collectionOf(4000)
      const { pages } = yield* SnapshotSource.make({ collection, ranges: 2, pageSize: 50 })
      const finds = Effect.promise(async () => {
        const { metrics } = await db.admin().command({ serverStatus: 1 })
        return Number(metrics.document.returned)
      })
      const before = yield* finds
      const pull = yield* Stream.toPull(pages)
      yield* pull
      yield* Effect.sleep("500 millis")
      // Two ranges, with a page in hand, one in the buffer and one being offered each, and whatever others read.
      expect((yield* finds) - before).toBeLessThan(1500)
    })
  )

  it.scopedLive(
    "a page that MongoDB does not give at first is read again, and nothing is missing or twice",
    () =>
      Effect.gen(function* () {
        const { collection, db, documents } = yield* collectionOf(1000)
        const source = yield* SnapshotSource.make({ collection, ranges: 2, pageSize: 100 })
        yield* Effect.promise(() =>
          db.admin().command({
            configureFailPoint: "failCommand",
            mode: { times: 3 },
            data: { failCommands: ["find"], errorCode: 11601, namespace: collection.namespace }
          })
        )
        const found = Chunk.toReadonlyArray(yield* Stream.runCollect(source.records))
        expect(found.map(({ _id }) => String(_id)).toSorted()).toEqual(
          documents.map(({ _id }) => _id).toSorted()
        )
      })
  )

  it.scopedLive("a MongoDB that stays away is an error that says that one can go on", () =>
    Effect.gen(function* () {
      const client = new MongoClient("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
      const collection = client.db("none").collection<Stored>("things")
      const error = yield* Effect.flip(SnapshotSource.make({ collection, patience: "300 millis" }))
      expect(error).toMatchObject({ _tag: "SnapshotError", retryable: true })
      yield* Effect.promise(() => client.close())
    })
  )
})
