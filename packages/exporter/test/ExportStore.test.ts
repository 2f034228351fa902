import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import * as ExportId from "../src/ExportId.ts"
import * as ExportStore from "../src/ExportStore.ts"
import { ask, connections, hashAt } from "./testParts.ts"

const hour = 3_600_000

/** A store, and an export that was created in it. */
const created = Effect.gen(function* () {
  const { url } = yield* testRedis
  const times = { expiryMillis: hour, heartbeatLimitMillis: hour, runningExpiryMillis: hour }
  const store = yield* Effect.flatMap(connections(url), (context) =>
    Effect.provide(ExportStore.make(times), context)
  )
  const writer = { id: ExportId.make(), token: ExportId.make() }
  const creation = {
    writer,
    owner: "ann",
    topic: undefined,
    maxRunning: 1,
    maxRunningPerOwner: 1,
    metadata: { view: "anonymized", format: "ndjson", encoding: "identity", segmentBytes: "8" }
  }
  expect(yield* store.create(creation)).toBe("Created")
  return { url, store, writer, creation }
})

const begun = Effect.tap(created, ({ store, writer }) => store.begin(writer))

const done = { _tag: "Done" }
const gone = { _tag: "Gone" }
const lost = { _tag: "Lost" }
const bytesOf = (text: string) => Buffer.from(text)

describe("an append", () => {
  it.scopedLive("comes after the begin", () =>
    Effect.gen(function* () {
      const { store, url, writer } = yield* created
      expect(yield* store.append(writer, 0, bytesOf("early"), 1)).toEqual(gone)
      expect(yield* ask(url, "EXISTS", `${writer.id}-data`)).toBe(0)
      expect(yield* store.begin(writer)).toEqual(done)
      expect(yield* store.begin(writer)).toEqual(done)
      expect(yield* store.append(writer, 0, bytesOf("now"), 1)).toEqual(done)
    })
  )

  it.scopedLive("that is sent again, since its answer was lost, is there once", () =>
    Effect.gen(function* () {
      const { store, url, writer } = yield* begun
      const thrice = (offset: number, text: string, records: number) =>
        Effect.replicateEffect(store.append(writer, offset, bytesOf(text), records), 3)
      expect(yield* thrice(0, "abc", 1)).toEqual([done, done, done])
      expect(yield* thrice(3, "defghijk", 2)).toEqual([done, done, done])
      expect(yield* ask(url, "MGET", `${writer.id}-data`, `${writer.id}-data-1`)).toEqual(["abcdefgh", "ijk"])
      expect(yield* hashAt(url, `${writer.id}-meta`)).toMatchObject({
        bytes: "11",
        records: "2",
        segments: "2"
      })
    })
  )

  it.scopedLive("that does not begin where the data ends is refused", () =>
    Effect.gen(function* () {
      const { store, url, writer } = yield* begun
      yield* store.append(writer, 0, bytesOf("abc"), 1)
      expect(yield* store.append(writer, 4, bytesOf("e"), 2)).toEqual(lost)
      expect(yield* store.append(writer, 1, bytesOf("e"), 2)).toEqual(lost)
      expect(yield* ask(url, "GET", `${writer.id}-data`)).toBe("abc")
    })
  )

  it.scopedLive("fills segments to the byte, over several at once", () =>
    Effect.gen(function* () {
      const { store, url, writer } = yield* begun
      yield* store.append(writer, 0, bytesOf("01234567"), 1)
      yield* store.append(writer, 8, bytesOf("89abcdefghijklmnopq"), 2)
      const keys = ["", "-1", "-2", "-3"].map((suffix) => `${writer.id}-data${suffix}`)
      expect(yield* ask(url, "MGET", ...keys)).toEqual(["01234567", "89abcdef", "ghijklmn", "opq"])
    })
  )

  it.scopedLive("of bytes that are no text arrives as they are, and is read so", () =>
    Effect.gen(function* () {
      const { store, writer } = yield* begun
      const bytes = Buffer.from([0, 13, 10, 255, 254, 128, 36, 0])
      yield* store.append(writer, 0, bytes, 1)
      expect(yield* store.read(writer.id, 0, 0, 7)).toEqual(bytes)
      expect(yield* store.read(writer.id, 0, 2, 4)).toEqual(bytes.subarray(2, 5))
    })
  )

  it.scopedLive("by anybody but the writer is refused", () =>
    Effect.gen(function* () {
      const { store, url, writer } = yield* begun
      const other = { ...writer, token: ExportId.make() }
      expect(yield* store.append(other, 0, bytesOf("abc"), 1)).toEqual(gone)
      expect(yield* store.beat(other, true)).toEqual(gone)
      expect(yield* store.finish(writer.id, other.token, { state: "COMPLETED" })).toEqual(gone)
      expect(yield* ask(url, "EXISTS", `${writer.id}-data`)).toBe(0)
    })
  )

  for (const state of ["COMPLETED", "CANCELLED", "FAILED"] as const) {
    it.scopedLive(`after ${state} is refused, and not one byte is written`, () =>
      Effect.gen(function* () {
        const { store, url, writer } = yield* begun
        yield* store.append(writer, 0, bytesOf("abc"), 1)
        expect(yield* store.finish(writer.id, undefined, { state })).toEqual(done)
        const ended = { _tag: "Ended", state }
        expect(yield* store.append(writer, 3, bytesOf("d"), 2)).toEqual(ended)
        expect(yield* store.append(writer, 0, bytesOf("abc"), 1)).toEqual(ended)
        expect(yield* store.begin(writer)).toEqual(ended)
        expect(yield* store.beat(writer, true)).toEqual(ended)
        for (const other of ["COMPLETED", "CANCELLED", "FAILED"] as const) {
          expect(yield* store.finish(writer.id, writer.token, { state: other })).toEqual(ended)
        }
        expect(yield* ask(url, "GET", `${writer.id}-data`)).toBe("abc")
        expect(yield* ask(url, "GET", writer.id)).toBe(state)
      })
    )
  }
})

describe("an export that nobody has begun to write", () => {
  it.scopedLive("can be CANCELLED or FAILED, and not COMPLETED", () =>
    Effect.gen(function* () {
      const { store, writer } = yield* created
      expect(yield* store.finish(writer.id, undefined, { state: "COMPLETED" })).toEqual(gone)
      expect(yield* store.finish(writer.id, undefined, { state: "FAILED", failure: "ShutDown" })).toEqual(
        done
      )
      const second = yield* created
      expect(yield* second.store.finish(second.writer.id, undefined, { state: "CANCELLED" })).toEqual(done)
    })
  )

  it.scopedLive("is not made a second time, and an end makes room for another", () =>
    Effect.gen(function* () {
      const { creation, store, writer } = yield* created
      const another = { ...creation, writer: { id: ExportId.make(), token: ExportId.make() } }
      expect(yield* store.create(another)).toBe("TooManyOfOwner")
      expect(yield* store.create({ ...another, owner: "bob" })).toBe("TooMany")
      expect(yield* store.create({ ...creation, maxRunning: 9, maxRunningPerOwner: 9 })).toBe("Exists")
      yield* store.finish(writer.id, undefined, { state: "CANCELLED" })
      expect(yield* store.create(another)).toBe("Created")
    })
  )
})

describe("an export that has taken leave of its topic", () => {
  it.scopedLive("is handed no record any more, and its heartbeat does not bring it back", () =>
    Effect.gen(function* () {
      const { creation, store, url, writer } = yield* created
      yield* store.finish(writer.id, undefined, { state: "CANCELLED" })
      const live = { id: ExportId.make(), token: ExportId.make() }
      yield* store.create({ ...creation, writer: live, topic: "customers" })
      const record = { id: "1", version: 1, json: "{}" }
      const waiting = ask(url, "XLEN", `${live.id}-live`)
      expect(yield* store.offer("customers", [live.id], [record], 10)).toEqual([])
      expect(yield* waiting).toBe(1)
      yield* store.unsubscribe(live.id, "customers")
      yield* store.beat(live, true)
      expect(yield* store.subscribers("customers")).toEqual([])
      expect(yield* store.offer("customers", [live.id], [record], 10)).toEqual([])
      expect(yield* waiting).toBe(1)
    })
  )
})
