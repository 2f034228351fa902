import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Stream } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import { ann, ask, bytesOf, exporterAt, linesOf, ndjson, records, stalling, until } from "./testParts.ts"

/** An export of 300 records in segments of 1,000 bytes, and its bytes. */
const exported = (gzip: boolean) =>
  Effect.gen(function* () {
    const { url } = yield* testRedis
    const exporter = yield* exporterAt(url, { segmentBytes: 1000, pageBytes: 300, chunkBytes: 700 })
    const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(records(300)), { ...ndjson, gzip })
    yield* ended
    return { exporter, id, url, whole: yield* bytesOf(exporter.read(id, ann)) }
  })

describe("reading an export that has ended", () => {
  it.scopedLive("segments are one stream of bytes, also where a character lies across their bounds", () =>
    Effect.gen(function* () {
      const { exporter, id, whole } = yield* exported(false)
      const text = linesOf(records(300))
      expect(whole.toString()).toBe(text)
      const { bytes, checksum, segments } = yield* exporter.status(id, ann)
      expect([bytes, segments]).toEqual([Buffer.byteLength(text), Math.ceil(Buffer.byteLength(text) / 1000)])
      expect(checksum).toBe(createHash("sha256").update(whole).digest("hex"))
    })
  )

  it.scopedLive("any range is that part of the whole, compressed or not", () =>
    Effect.gen(function* () {
      for (const gzip of [false, true]) {
        const { exporter, id, whole } = yield* exported(gzip)
        for (const [from, to] of [
          [0, 0],
          [999, 1000],
          [1000, 1299],
          [17, 1500],
          [0, whole.length - 1],
          [whole.length - 1, whole.length + 10]
        ] as const) {
          const part = yield* bytesOf(exporter.read(id, ann, { from, to }))
          expect([from, to, part.equals(whole.subarray(from, to + 1))]).toEqual([from, to, true])
        }
        expect((yield* bytesOf(exporter.read(id, ann, { from: 500 }))).equals(whole.subarray(500))).toBe(true)
      }
    })
  )

  it.scopedLive(
    "gzip data is one whole gzip file of the same text, with the checksum of what is stored",
    () =>
      Effect.gen(function* () {
        const { exporter, id, whole } = yield* exported(true)
        expect(gunzipSync(whole).toString()).toBe(linesOf(records(300)))
        const status = yield* exporter.status(id, ann)
        expect(status).toMatchObject({
          encoding: "gzip",
          bytes: whole.length,
          records: 300,
          checksum: createHash("sha256").update(whole).digest("hex")
        })
        expect(whole.length).toBeLessThan(linesOf(records(300)).length / 2)
      })
  )

  it.scopedLive("a range behind the end, or none at all, is refused", () =>
    Effect.gen(function* () {
      const { exporter, id, whole } = yield* exported(false)
      const behind = yield* Effect.flip(bytesOf(exporter.read(id, ann, { from: whole.length })))
      expect(behind).toMatchObject({ reason: "RangeNotSatisfiable", bytes: whole.length })
      for (const range of [{ from: -1 }, { from: 5, to: 4 }, { from: 0.5 }]) {
        const invalid = yield* Effect.flip(bytesOf(exporter.read(id, ann, range)))
        expect(invalid.reason).toBe("InvalidOptions")
      }
    })
  )

  it.scopedLive("data that is gone while it is read is an error, and not a short download", () =>
    Effect.gen(function* () {
      const { exporter, id, url } = yield* exported(false)
      const reading = yield* Stream.toPull(exporter.read(id, ann))
      yield* reading
      yield* ask(url, "DEL", `${id}-data-1`)
      const error = yield* Effect.flip(Effect.forever(reading))
      expect(error).toMatchObject({ _tag: "Some", value: { reason: "NotFound" } })
    })
  )
})

describe("reading an export that runs", () => {
  it.scopedLive("a reader follows to the end, from another instance", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const exporter = yield* exporterAt(url, { segmentBytes: 1000, chunkBytes: 500 })
      const other = yield* exporterAt(url)
      const slowly = Stream.fromIterable(records(300)).pipe(
        Stream.rechunk(20),
        Stream.mapChunksEffect((chunk) => Effect.delay(Effect.succeed(chunk), "20 millis"))
      )
      const { id } = yield* exporter.start(ann, slowly, ndjson)
      const seen = yield* Effect.fork(Stream.runCollect(other.read(id, ann)))
      const pages = Chunk.toReadonlyArray(yield* Fiber.join(seen))
      expect(Buffer.concat(pages).toString()).toBe(linesOf(records(300)))
      expect(pages.length).toBeGreaterThan(5)
      expect((yield* other.status(id, ann)).state).toBe("COMPLETED")
    })
  )

  it.scopedLive("a reader of one that is stopped gets all there was, and then that it is incomplete", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const exporter = yield* exporterAt(url)
      const { id } = yield* exporter.start(ann, stalling(records(3)), ndjson)
      const seen: Array<Uint8Array> = []
      const reading = yield* Effect.fork(
        Effect.flip(Stream.runForEach(exporter.read(id, ann), (page) => Effect.sync(() => seen.push(page))))
      )
      yield* until(
        Effect.sync(() => seen.length),
        (pages) => pages > 0
      )
      yield* exporter.stop(id, ann)
      expect(yield* Fiber.join(reading)).toMatchObject({ reason: "Incomplete", state: "CANCELLED" })
      expect(Buffer.concat(seen).toString()).toBe(linesOf(records(3)))
      // Who asks afterwards knows that it is a part.
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(records(3)))
    })
  )

  it.scopedLive("a slow reader holds up nobody, and is given a page at a time only when it asks", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const exporter = yield* exporterAt(url, { pageBytes: 1024 })
      const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(records(20_000)), ndjson)
      const reads = Effect.map(ask(url, "INFO", "commandstats"), (info) =>
        Number(/cmdstat_getrange:calls=(\d+)/.exec(String(info))?.[1] ?? 0)
      )
      const before = yield* reads
      const pull = yield* Stream.toPull(exporter.read(id, ann))
      const first = yield* pull
      expect(yield* ended).toEqual({ state: "COMPLETED" })
      yield* Effect.sleep("200 millis")
      expect((yield* reads) - before).toBeLessThanOrEqual(2)
      expect(Chunk.toReadonlyArray(first).every((page) => page.length <= 1024)).toBe(true)
    })
  )
})
