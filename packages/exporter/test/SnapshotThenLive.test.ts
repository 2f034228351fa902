import { expect, it } from "@effect/vitest"
import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { Exporter, ExportSink, SnapshotSource } from "@twinbox/exporter"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import { OutboxStore, Relay } from "@twinbox/outbox"
import { TwinRepository, TwinTopic } from "@twinbox/repository"
import { Effect, Fiber, Random, Redacted, Schema, Stream } from "effect"
import { testMongo, testRedis } from "../../../test/setup/testServers.ts"
import { ann, bytesOf, connections, ndjson, quick, replay, until } from "./testParts.ts"

const Customer = Schema.Struct({
  name: Schema.String.pipe(Anonymize.pseudonym),
  mark: Schema.Int.pipe(Anonymize.keep)
})
const topic = TwinTopic.anonymized("customer", Customer)

/** What the repository notes beside the fields of a twin. */
const publicFields = ({ _id, mark, name, version }: Readonly<Record<string, unknown>>) => ({
  _id,
  version,
  name,
  mark
})

const idOf = (n: number) => `customer-${n}`
const documents = 1500
const batches = Array.from({ length: documents / 100 }, (_, batch) => batch)

it.scopedLive(
  "a snapshot and live changes under writers, replayed by version, are the collection at the end",
  () =>
    Effect.gen(function* () {
      const { database, uri } = yield* testMongo
      const { url } = yield* testRedis
      const redis = yield* connections(url)
      yield* Effect.gen(function* () {
        const { db } = yield* MongoDatabase.MongoDatabase
        const key = yield* AnonymizeKey.make({ version: 1, secret: yield* AnonymizeKey.generate })
        const customers = yield* TwinRepository.make({
          schema: Customer,
          collection: "customers",
          topic,
          key
        })
        yield* Effect.forEach(
          batches,
          (batch) =>
            customers.createMany(
              Array.from({ length: 100 }, (_, n) => ({ _id: idOf(batch * 100 + n), name: `n${n}`, mark: 0 }))
            ),
          { concurrency: 2, discard: true }
        )
        const sink = yield* ExportSink.make({ topics: [topic] })
        const relay = yield* Relay.make({ sinks: [sink] })
        yield* Effect.forkScoped(relay.run)
        const exporter = yield* Exporter.make(quick)

        let mark = 0
        let changes = 0
        const change = Effect.gen(function* () {
          const id = idOf(yield* Random.nextIntBetween(0, documents))
          const drawn = yield* Random.next
          mark++
          if (drawn < 0.2) yield* customers.delete(id)
          else if (drawn < 0.4) yield* customers.create({ _id: id, name: "again", mark })
          else yield* customers.patch(id, { mark })
          changes++
        }).pipe(Effect.catchTags({ NotFound: () => Effect.void, DuplicateKey: () => Effect.void }))
        const writing = yield* Effect.fork(
          Effect.all(
            Array.from({ length: 4 }, () => Effect.forever(change)),
            { concurrency: "unbounded" }
          )
        )
        yield* until(
          Effect.sync(() => changes),
          (count) => count > 20
        )

        const source = yield* SnapshotSource.make({
          collection: db.collection<SnapshotSource.Stored>("customers_anonymised"),
          decode: publicFields,
          pageSize: 50
        })
        // Slowly, so that many changes come before, behind and amid it.
        const slowly = Stream.tap(source.pages, () => Effect.sleep("25 millis")).pipe(
          Stream.map(({ records }) => records),
          Stream.flattenChunks
        )
        const before = changes
        const { id } = yield* exporter.start(ann, slowly, { ...ndjson, live: topic, total: source.total })
        yield* until(exporter.status(id, ann), ({ records }) => records > documents)
        yield* Effect.sleep("300 millis")
        yield* Fiber.interrupt(writing)
        expect(changes - before).toBeGreaterThan(50)

        const store = yield* OutboxStore.OutboxStore
        yield* until(store.stats, ({ behind, ready }) => ready + behind === 0)
        const status = yield* exporter.finish(id, ann)
        expect(status.state).toBe("COMPLETED")
        const text = String(yield* bytesOf(exporter.read(id, ann)))
        expect(text).toContain('"deleted":true')
        const replayed = [...replay(text).values()].map(publicFields)
        const stored = yield* Effect.promise(() =>
          db.collection("customers_anonymised").find().sort({ _id: 1 }).toArray()
        )
        const byId = (one: { readonly _id: unknown }, other: { readonly _id: unknown }) =>
          String(one._id) < String(other._id) ? -1 : 1
        expect(replayed.toSorted(byId)).toEqual(stored.map(publicFields).toSorted(byId))
        // With a scope of its own: the relay gives its slots back while there is a MongoDB.
      }).pipe(
        Effect.scoped,
        Effect.provide(redis),
        Effect.provide(MongoOutbox.layer({ uri: Redacted.make(uri), database }))
      )
    })
)
