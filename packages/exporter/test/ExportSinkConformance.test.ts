import { ExportSink } from "@twinbox/exporter"
import { Key } from "@twinbox/outbox"
import { MessageFixture, SinkConformance } from "@twinbox/testkit"
import { Effect, Stream } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import { ann, bytesOf, connections, exporterAt, ndjson, replay, until } from "./testParts.ts"

SinkConformance.suite(
  "a live export, as who replays it sees it,",
  Effect.gen(function* () {
    const { url } = yield* testRedis
    const exporter = yield* exporterAt(url)
    const context = yield* connections(url)
    const { topic } = MessageFixture
    const sink = yield* Effect.provide(ExportSink.make({ topics: [topic] }), context)
    const { id } = yield* exporter.start(ann, Stream.empty, { ...ndjson, live: topic })
    let delivered = 0
    return {
      topic,
      sink: {
        ...sink,
        deliver: (batch) =>
          Effect.tap(sink.deliver(batch), () => Effect.sync(() => (delivered += batch.length)))
      },
      read: (key) =>
        Effect.gen(function* () {
          const { bytes } = yield* until(exporter.status(id, ann), ({ records }) => records === delivered)
          if (bytes === 0) return undefined
          const text = String(yield* bytesOf(exporter.read(id, ann, { to: bytes - 1 })))
          const record = replay(text).get(Key.idOf(key))
          if (record === undefined) return undefined
          const { _id, deleted, version, ...fields } = record
          return { sequence: Number(version), payload: JSON.stringify(fields) }
        })
    }
  })
)
