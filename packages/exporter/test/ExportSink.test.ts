import { gunzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { ExportSink } from "@twinbox/exporter"
import { Key, type Message, Topic } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Fiber, Schedule, Schema, Stream } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import {
  ann,
  ask,
  bob,
  bytesOf,
  connections,
  exporterAt,
  ndjson,
  ownRedis,
  stalling,
  until
} from "./testParts.ts"

const { topic } = MessageFixture
const originals = Topic.original("customer", MessageFixture.Payload)
const live = { ...ndjson, live: topic }

/** A message about a customer; null: deleted. */
const message = (id: string, sequence: number, payload: object | null): Message.Message =>
  MessageFixture.make({
    key: Key.make("customer", id),
    sequence,
    payload: payload === null ? null : JSON.stringify(payload)
  })

const sinkAt = (url: string, options: Partial<Parameters<typeof ExportSink.make>[0]> = {}) =>
  Effect.flatMap(connections(url), (context) =>
    Effect.provide(ExportSink.make({ topics: [topic], ...options }), context)
  )

/** A sink in a process, and exporters in two others. */
const fresh = (options: Partial<Parameters<typeof ExportSink.make>[0]> = {}) =>
  Effect.gen(function* () {
    const { url } = yield* testRedis
    return {
      url,
      exporter: yield* exporterAt(url),
      other: yield* exporterAt(url),
      sink: yield* sinkAt(url, options)
    }
  })

describe("live exports", () => {
  it.scopedLive("take updates and deletes of their topic with their versions, until they are finished", () =>
    Effect.gen(function* () {
      const { exporter, other, sink } = yield* fresh()
      const { ended, id } = yield* exporter.start(ann, Stream.empty, live)
      const second = yield* other.start(ann, Stream.empty, {
        view: "anonymized",
        format: "csv",
        columns: ["revision"],
        gzip: true,
        live: topic
      })
      expect(yield* sink.deliver([message("1", 1, { revision: 7 }), message("2", 4, null)])).toEqual([])
      // From another instance than the one that writes it.
      expect(yield* other.finish(id, ann)).toMatchObject({ state: "COMPLETED", records: 2 })
      expect(yield* ended).toEqual({ state: "COMPLETED" })
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(
        '{"revision":7,"_id":"1","version":1,"deleted":false}\n{"_id":"2","version":4,"deleted":true}\n'
      )
      yield* exporter.finish(second.id, ann)
      expect(gunzipSync(yield* bytesOf(exporter.read(second.id, ann))).toString()).toBe(
        "_id,version,deleted,revision\r\n1,1,false,7\r\n2,4,true,\r\n"
      )
      // Nobody follows the topic any more.
      expect(yield* sink.deliver([message("3", 1, { revision: 1 })])).toEqual([])
      expect((yield* exporter.status(id, ann)).records).toBe(2)
    })
  )

  it.scopedLive("nothing that was handed over before the finish is left out, however much waits", () =>
    Effect.gen(function* () {
      const { exporter, sink } = yield* fresh()
      const { id } = yield* exporter.start(ann, Stream.empty, live)
      const batch = Array.from({ length: 3000 }, (_, n) => message(`${n}`, 1, { revision: n }))
      yield* sink.deliver(batch)
      expect((yield* exporter.finish(id, ann)).records).toBe(3000)
    })
  )

  it.scopedLive("every record that was handed over is in the export, also those that meet its finish", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const exporter = yield* exporterAt(server.uri)
      const sink = yield* sinkAt(server.uri)
      const handedOver = Effect.map(ask(server.uri, "INFO", "commandstats"), (info) =>
        Number(/cmdstat_xadd:calls=(\d+)/.exec(String(info))?.[1] ?? 0)
      )
      yield* Effect.forkScoped(Effect.forever(sink.deliver([message("1", 1, { revision: 1 })])))
      let before = 0
      for (let run = 0; run < 25; run++) {
        const { id } = yield* exporter.start(ann, Stream.empty, live)
        yield* until(handedOver, (count) => count > before)
        const { records } = yield* exporter.finish(id, ann)
        const count = yield* handedOver
        expect([run, records]).toEqual([run, count - before])
        before = count
      }
    })
  )

  it.scopedLive("the finish waits for the source, and takes live records until then", () =>
    Effect.gen(function* () {
      const { exporter, sink } = yield* fresh()
      const snapshot = Stream.fromIterable([{ _id: "1", version: 1, deleted: false }])
      const slowly = Stream.concat(snapshot, Stream.drain(Stream.fromEffect(Effect.sleep("500 millis"))))
      const { id } = yield* exporter.start(ann, slowly, live)
      const finishing = yield* Effect.fork(exporter.finish(id, ann))
      yield* Effect.sleep("250 millis")
      yield* sink.deliver([message("1", 2, { revision: 2 })])
      expect(yield* Fiber.join(finishing)).toMatchObject({ state: "COMPLETED", records: 2 })
      expect(yield* Effect.flip(exporter.finish(id, ann))).toMatchObject({
        reason: "AlreadyEnded",
        state: "COMPLETED"
      })
    })
  )

  it.scopedLive("one that is stopped takes nothing more, and leaves nothing behind but its data", () =>
    Effect.gen(function* () {
      const { exporter, sink, url } = yield* fresh()
      const { id } = yield* exporter.start(ann, stalling([]), live)
      yield* sink.deliver([message("1", 1, { revision: 1 })])
      const finishing = yield* Effect.fork(Effect.flip(exporter.finish(id, ann)))
      yield* Effect.sleep("100 millis")
      yield* exporter.stop(id, ann)
      expect(yield* Fiber.join(finishing)).toMatchObject({ reason: "AlreadyEnded", state: "CANCELLED" })
      yield* sink.deliver([message("1", 2, { revision: 2 })])
      expect(yield* ask(url, "EXISTS", `${id}-live`, `exports-live:${topic.name}`)).toBe(0)
    })
  )

  it.scopedLive("topics are kept apart, and originals go only to who may start an export of them", () =>
    Effect.gen(function* () {
      const { exporter, sink, url } = yield* fresh()
      const originalSink = yield* Effect.flatMap(connections(url), (context) =>
        Effect.provide(ExportSink.originals({ topics: [originals] }), context)
      )
      const asked = { view: "original", format: "ndjson", live: originals } as const
      expect(yield* Effect.flip(exporter.start(ann, Stream.empty, asked))).toMatchObject({
        reason: "Forbidden"
      })
      const lied = { view: "anonymized", format: "ndjson", live: originals as never } as const
      expect(yield* Effect.flip(exporter.start(ann, Stream.empty, lied))).toMatchObject({
        reason: "InvalidOptions"
      })
      const plain = yield* exporter.start(bob, Stream.empty, live)
      const original = yield* exporter.start(bob, Stream.empty, asked)
      yield* originalSink.deliver([{ ...message("1", 1, { revision: 1 }), topic: originals.name }])
      yield* sink.deliver([message("2", 1, { revision: 2 }), message("3", 1, { revision: 2 })])
      expect((yield* exporter.finish(plain.id, bob)).records).toBe(2)
      expect((yield* exporter.finish(original.id, bob)).records).toBe(1)
    })
  )

  it.scopedLive("one that is too slow is FAILED; the outbox and the other exports are not held up", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const sink = yield* sinkAt(url, { maxWaiting: 600 })
      const exporter = yield* exporterAt(url)
      const { id } = yield* exporter.start(ann, Stream.empty, live)
      yield* until(exporter.status(id, ann), ({ state }) => state === "PENDING")
      // Of a process that writes nothing: nobody empties its list.
      const slow = yield* exporter.start(ann, Stream.empty, live)
      yield* ask(url, "HSET", `${slow.id}-meta`, "token", "nobody's")
      const outcome = yield* slow.ended
      expect(outcome.state).toBe("FAILED")
      for (let round = 1; round <= 4; round++) {
        const batch = Array.from({ length: 300 }, (_, n) => message(`${n}`, round, { revision: round }))
        expect(yield* sink.deliver(batch)).toEqual([])
        yield* until(exporter.status(id, ann), ({ records }) => records === 300 * round)
      }
      expect(yield* exporter.status(slow.id, ann)).toMatchObject({ state: "FAILED", failure: "TooSlow" })
      expect(yield* exporter.finish(id, ann)).toMatchObject({ state: "COMPLETED", records: 1200 })
    })
  )

  it.scopedLive(
    "one whose process is gone is FAILED when the next record comes, and not silently short of it",
    () =>
      Effect.gen(function* () {
        const { exporter, sink, url } = yield* fresh()
        const { id } = yield* exporter.start(ann, Stream.empty, live)
        yield* until(exporter.status(id, ann), ({ state }) => state === "PENDING")
        // As if its heartbeat had ended just now.
        yield* ask(url, "ZADD", `exports-live:${topic.name}`, "1", id)
        yield* sink.deliver([message("1", 1, { revision: 1 })])
        expect(yield* exporter.status(id, ann)).toMatchObject({ state: "FAILED", failure: "ProcessEnded" })
      })
  )

  it.scopedLive("a Redis that is full ends them as FAILED, and the batch is taken", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis("--maxmemory-policy", "noeviction")
      const exporter = yield* exporterAt(server.uri)
      const sink = yield* sinkAt(server.uri)
      const { ended, id } = yield* exporter.start(ann, Stream.empty, live)
      yield* until(exporter.status(id, ann), ({ state }) => state === "PENDING")
      yield* ask(server.uri, "CONFIG", "SET", "maxmemory", "1")
      expect(yield* sink.deliver([message("1", 1, { revision: 1 })])).toEqual([])
      expect((yield* ended).state).toBe("FAILED")
      expect((yield* exporter.status(id, ann)).failure).toBe("RedisFull")
    })
  )

  it.scopedLive("a Redis that is away makes the relay come again, and nothing is missing afterwards", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis("--appendfsync", "always")
      const exporter = yield* exporterAt(server.uri)
      const sink = yield* sinkAt(server.uri)
      const { id } = yield* exporter.start(ann, Stream.empty, live)
      yield* until(exporter.status(id, ann), ({ state }) => state === "PENDING")
      yield* server.kill("SIGKILL")
      const batch = [message("1", 1, { revision: 1 })]
      expect(yield* Effect.flip(sink.deliver(batch))).toMatchObject({
        reason: "Unavailable",
        retryable: true
      })
      yield* server.start
      yield* until(Effect.isSuccess(sink.deliver(batch)), (isTaken) => isTaken)
      // Its connection is another one, and comes back in its own time.
      const finish = Effect.retry(exporter.finish(id, ann), {
        while: ({ retryable }) => retryable,
        schedule: Schedule.spaced("50 millis")
      })
      expect((yield* finish).records).toBeGreaterThanOrEqual(1)
    })
  )

  it("a sink of originals does not fit where anonymized topics are wanted", () => {
    const takes = (options: Parameters<typeof ExportSink.make>[0]) => options
    // @ts-expect-error -- the view is in the type
    expect(takes({ topics: [Topic.original("x", Schema.Struct({}))] })).toBeDefined()
  })
})
