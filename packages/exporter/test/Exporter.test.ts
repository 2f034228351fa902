import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import { gunzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { ExportAudit, type ExportError, type ExportRecord } from "@twinbox/exporter"
import { Deferred, Effect, Either, Exit, Ref, Scope, Stream } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import {
  admin,
  ann,
  ask,
  auditLog,
  bob,
  bytesOf,
  endless,
  exporterAt,
  hashAt,
  linesOf,
  ndjson,
  records,
  stalling,
  until,
  userOf
} from "./testParts.ts"

const fresh = (options = {}) =>
  Effect.gen(function* () {
    const { url } = yield* testRedis
    return { url, exporter: yield* exporterAt(url, options) }
  })

const reasonOf = <A>(call: Effect.Effect<A, ExportError>) =>
  Effect.map(Effect.either(call), (result) =>
    Either.isLeft(result) ? [result.left.reason, result.left.state] : "success"
  )

/** Records without end, and whether somebody has closed them. */
const watched = Effect.gen(function* () {
  const closed = yield* Deferred.make<void>()
  return {
    source: Stream.ensuring(endless, Deferred.succeed(closed, undefined)),
    closed: Effect.timeout(Deferred.await(closed), "10 seconds")
  }
})

describe("from CREATED", () => {
  it.scopedLive(
    "a source that has not given anything yet is PENDING with no bytes, then COMPLETED with all",
    () =>
      Effect.gen(function* () {
        const { exporter, url } = yield* fresh()
        const gate = yield* Deferred.make<void>()
        const source = Stream.unwrap(Effect.as(Deferred.await(gate), Stream.fromIterable(records(3))))
        const { ended, id } = yield* exporter.start(ann, source, ndjson)
        yield* until(ask(url, "GET", id), (state) => state === "PENDING")
        expect(yield* exporter.status(id, ann)).toMatchObject({ state: "PENDING", bytes: 0, records: 0 })
        yield* Deferred.succeed(gate, undefined)
        expect(yield* ended).toEqual({ state: "COMPLETED" })
        const text = linesOf(records(3))
        expect(yield* exporter.status(id, ann)).toMatchObject({
          state: "COMPLETED",
          records: 3,
          bytes: Buffer.byteLength(text),
          percent: 100,
          checksum: createHash("sha256").update(text).digest("hex")
        })
        expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(text)
      })
  )
})

describe("from PENDING", () => {
  it.scopedLive("no records at all make a COMPLETED export without data", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      const { ended, id } = yield* exporter.start(ann, Stream.empty, ndjson)
      expect(yield* ended).toEqual({ state: "COMPLETED" })
      expect(yield* exporter.status(id, ann)).toMatchObject({ bytes: 0, records: 0 })
      expect((yield* bytesOf(exporter.read(id, ann))).length).toBe(0)
    })
  )

  it.scopedLive("stopped while it writes: CANCELLED, its source is closed, and not one byte follows", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh()
      const { closed, source } = yield* watched
      const { ended, id } = yield* exporter.start(ann, source, ndjson)
      yield* until(exporter.status(id, ann), ({ bytes }) => bytes > 0)
      const stopped = yield* exporter.stop(id, ann)
      const data = yield* ask(url, "GET", `${id}-data`)
      expect(stopped.state).toBe("CANCELLED")
      yield* closed
      expect(yield* ended).toEqual({ state: "CANCELLED" })
      yield* Effect.sleep("300 millis")
      expect(yield* ask(url, "GET", `${id}-data`)).toBe(data)
      expect((yield* exporter.status(id, ann)).bytes).toBe(stopped.bytes)
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(data)
    })
  )

  it.scopedLive(
    "stopped from another instance: the writer learns of it, closes its source and writes no byte more",
    () =>
      Effect.gen(function* () {
        const { exporter, url } = yield* fresh()
        const other = yield* exporterAt(url)
        const { closed, source } = yield* watched
        const { ended, id } = yield* exporter.start(ann, source, ndjson)
        yield* until(other.status(id, ann), ({ bytes }) => bytes > 0)
        const { bytes } = yield* other.stop(id, ann)
        yield* closed
        expect(yield* ended).toEqual({ state: "CANCELLED" })
        yield* Effect.sleep("200 millis")
        expect(yield* ask(url, "STRLEN", `${id}-data`)).toBe(bytes)
      })
  )

  it.scopedLive(
    "of many stops at once, from two instances, one succeeds and the others say that it has ended",
    () =>
      Effect.gen(function* () {
        const { exporter, url } = yield* fresh()
        const other = yield* exporterAt(url)
        const { id } = yield* exporter.start(ann, endless, ndjson)
        const results = yield* Effect.all(
          [exporter, other, exporter, other].map(({ stop }) => reasonOf(stop(id, ann))),
          { concurrency: "unbounded" }
        )
        expect(results.filter((result) => result === "success")).toHaveLength(1)
        expect(results.filter((result) => result !== "success")).toEqual(
          Array.from({ length: 3 }, () => ["AlreadyEnded", "CANCELLED"])
        )
        expect(yield* reasonOf(exporter.stop(id, ann))).toEqual(["AlreadyEnded", "CANCELLED"])
      })
  )

  it.scopedLive(
    "a source that fails: FAILED with the reason, and what came before it is there and marked",
    () =>
      Effect.gen(function* () {
        const { exporter } = yield* fresh()
        const source = Stream.concat(Stream.fromIterable(records(2)), Stream.fail(new Error("secret value")))
        const { ended, id } = yield* exporter.start(ann, source, ndjson)
        expect(yield* ended).toEqual({ state: "FAILED", failure: "SourceFailed" })
        const status = yield* exporter.status(id, ann)
        expect(status).toMatchObject({ state: "FAILED", failure: "SourceFailed", records: 2 })
        expect(status.percent).toBeUndefined()
        const data = yield* bytesOf(exporter.read(id, ann))
        expect(String(data)).toBe(linesOf(records(2)))
        expect(status.checksum).toBe(createHash("sha256").update(data).digest("hex"))
        expect(JSON.stringify(status)).not.toContain("secret")
      })
  )

  it.scopedLive("a source that dies, or gives what has no text, makes it FAILED", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      const dying = yield* exporter.start(ann, Stream.dieMessage("secret"), ndjson)
      expect(yield* dying.ended).toEqual({ state: "FAILED", failure: "SourceFailed" })
      const cyclic: Record<string, unknown> = {}
      cyclic["self"] = cyclic
      const unencodable = yield* exporter.start(ann, Stream.fromIterable([{ n: 1 }, cyclic]), ndjson)
      expect(yield* unencodable.ended).toEqual({ state: "FAILED", failure: "Unencodable" })
      expect(String(yield* bytesOf(exporter.read(unencodable.id, ann)))).toBe('{"n":1}\n')
    })
  )

  it.scopedLive("one that grows over the limit: FAILED, with whole records up to it", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh({ maxBytes: 1000, chunkBytes: 100 })
      const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(records(1000)), ndjson)
      expect(yield* ended).toEqual({ state: "FAILED", failure: "TooLarge" })
      const text = String(yield* bytesOf(exporter.read(id, ann)))
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1000)
      expect(Buffer.byteLength(text)).toBeGreaterThan(500)
      expect(linesOf(records(1000)).startsWith(text) && text.endsWith("\n")).toBe(true)
      expect((yield* exporter.status(id, ann)).records).toBe(text.split("\n").length - 1)
    })
  )

  it.scopedLive("the records that are counted are those whose bytes are there", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh({ maxBytes: 100, chunkBytes: 100 })
      // The second has no room beside the first, and is then too much.
      const given = [80, 140].map((size) => ({ t: "x".repeat(size) }))
      const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(given), ndjson)
      expect(yield* ended).toEqual({ state: "FAILED", failure: "TooLarge" })
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(given.slice(0, 1)))
      expect((yield* exporter.status(id, ann)).records).toBe(1)
    })
  )

  it.scopedLive(
    "its process shuts down: FAILED at once, its source is closed, and what it had is there",
    () =>
      Effect.gen(function* () {
        const { url } = yield* testRedis
        const other = yield* exporterAt(url)
        const scope = yield* Scope.make()
        const exporter = yield* Scope.extend(exporterAt(url), scope)
        const { closed, source } = yield* watched
        const { id } = yield* exporter.start(
          ann,
          Stream.concat(Stream.fromIterable(records(2)), source),
          ndjson
        )
        yield* until(other.status(id, ann), ({ state }) => state === "PENDING")
        yield* Scope.close(scope, Exit.void)
        expect(yield* other.status(id, ann)).toMatchObject({ state: "FAILED", failure: "ShutDown" })
        yield* closed
        expect(String(yield* bytesOf(other.read(id, ann)))).toContain(linesOf(records(2)))
      })
  )

  it.scopedLive("a source that cannot be closed holds up neither stop nor shut down", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const other = yield* exporterAt(url)
      const scope = yield* Scope.make()
      const exporter = yield* Scope.extend(exporterAt(url, { closeWithin: "200 millis" }), scope)
      const stuck = Stream.ensuring(endless, Effect.never)
      const first = yield* exporter.start(ann, stuck, ndjson)
      const second = yield* exporter.start(ann, stuck, ndjson)
      yield* until(other.status(second.id, ann), ({ state }) => state === "PENDING")
      yield* Effect.timeout(exporter.stop(first.id, ann), "5 seconds")
      yield* Effect.timeout(Scope.close(scope, Exit.void), "5 seconds")
      expect((yield* other.status(second.id, ann)).failure).toBe("ShutDown")
    })
  )
})

describe("after its end", () => {
  it.scopedLive("a COMPLETED export cannot be stopped, and stays as it is", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh()
      const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(records(1)), ndjson)
      yield* ended
      const before = yield* hashAt(url, `${id}-meta`)
      expect(yield* reasonOf(exporter.stop(id, ann))).toEqual(["AlreadyEnded", "COMPLETED"])
      expect(yield* ask(url, "GET", id)).toBe("COMPLETED")
      expect(yield* hashAt(url, `${id}-meta`)).toEqual(before)
    })
  )

  it.scopedLive("a stop that meets the end leaves either, and Redis, caller and writer agree on which", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh()
      for (let run = 0; run < 30; run++) {
        const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(records(1)), ndjson)
        yield* Effect.sleep(run % 5)
        const stopped = yield* reasonOf(exporter.stop(id, ann))
        const { state } = yield* ended
        expect(yield* ask(url, "GET", id)).toBe(state)
        expect(stopped).toEqual(state === "CANCELLED" ? "success" : ["AlreadyEnded", "COMPLETED"])
      }
    })
  )

  it.scopedLive("all keys are gone when its time is over, and it is found no longer", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh({
        expiry: "700 millis",
        segmentBytes: 50,
        heartbeatLimit: "1 second"
      })
      const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(records(10)), ndjson)
      yield* ended
      expect((yield* exporter.status(id, ann)).segments).toBeGreaterThan(2)
      expect(yield* exporter.list(ann)).toHaveLength(1)
      const keys = yield* ask(url, "KEYS", "*")
      const names = Array.isArray(keys) ? keys.map(String) : []
      expect(names).toEqual(expect.arrayContaining([id, `${id}-meta`, `${id}-data`, `${id}-data-2`]))
      // Less than while it ran, and the same for all; what is gone already says -2.
      for (const key of names.filter((name) => name.startsWith(id))) {
        expect(Number(yield* ask(url, "PTTL", key))).toBeLessThanOrEqual(700)
      }
      yield* until(ask(url, "EXISTS", ...names), (count) => count === 0)
      expect(yield* reasonOf(exporter.status(id, ann))).toEqual(["NotFound", undefined])
      expect(yield* reasonOf(bytesOf(exporter.read(id, ann)))).toEqual(["NotFound", undefined])
      expect(yield* exporter.list(ann)).toEqual([])
    })
  )
})

describe("what Redis holds", () => {
  it.scopedLive("a plain client sees the documented keys and values, each with an expiry", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh({ expiry: "10 minutes", segmentBytes: 30 })
      const { id } = yield* exporter.start(ann, stalling(records(4)), { ...ndjson, total: 8 })
      yield* until(exporter.status(id, ann), (status) => status.records === 4)
      const text = linesOf(records(4))
      const bytes = Buffer.from(text)
      expect(yield* ask(url, "GET", id)).toBe("PENDING")
      const whole = (yield* Effect.forEach([`${id}-data`, `${id}-data-1`, `${id}-data-2`], (key) =>
        ask(url, "STRLEN", key)
      )).map(Number)
      expect(whole).toEqual([30, 30, 30])
      expect(yield* ask(url, "GET", `${id}-data`)).toBe(bytes.subarray(0, 30).toString())
      expect(yield* hashAt(url, `${id}-meta`)).toMatchObject({
        owner: "ann",
        view: "anonymized",
        format: "ndjson",
        encoding: "identity",
        bytes: String(bytes.length),
        records: "4",
        segments: String(Math.ceil(bytes.length / 30)),
        total: "8",
        createdAt: expect.stringMatching(/^\d{13}$/),
        startedAt: expect.stringMatching(/^\d{13}$/),
        heartbeatAt: expect.stringMatching(/^\d{13}$/)
      })
      const keys = yield* ask(url, "KEYS", "*")
      expect(keys).toEqual(expect.arrayContaining([id, `${id}-meta`, `${id}-data`, "exports", "exports:ann"]))
      for (const key of Array.isArray(keys) ? keys : []) {
        expect([key, Number(yield* ask(url, "PTTL", String(key))) > 0]).toEqual([key, true])
      }
      yield* exporter.stop(id, ann)
      expect(yield* ask(url, "GET", id)).toBe("CANCELLED")
      const left = Number(yield* ask(url, "PTTL", id))
      expect(left).toBeGreaterThan(590_000)
      expect(left).toBeLessThanOrEqual(600_000)
      expect(Number(yield* ask(url, "PTTL", `${id}-data-1`))).toBeLessThanOrEqual(600_000)
      expect((yield* hashAt(url, `${id}-meta`))["endedAt"]).toMatch(/^\d{13}$/)
    })
  )

  it.scopedLive("an id that is the name of another key is not looked up", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh()
      const { ended, id: real } = yield* exporter.start(ann, Stream.empty, ndjson)
      yield* ended
      yield* ask(url, "COPY", real, "customer:42")
      yield* ask(url, "COPY", `${real}-meta`, "customer:42-meta")
      for (const id of [
        "customer:42",
        real.toUpperCase(),
        "exports",
        "",
        "*",
        "00000000-0000-4000-8000-000000000000"
      ]) {
        expect(yield* reasonOf(exporter.status(id, admin))).toEqual(["NotFound", undefined])
        expect(yield* reasonOf(exporter.stop(id, admin))).toEqual(["NotFound", undefined])
      }
    })
  )
})

describe("sources", () => {
  it.scopedLive("a Node Readable is exported, and destroyed when the export is stopped", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      const { ended, id } = yield* exporter.start(ann, Readable.from(records(2000)), ndjson)
      expect(yield* ended).toEqual({ state: "COMPLETED" })
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(records(2000)))
      const waiting = new Readable({ objectMode: true, read: () => undefined })
      const second = yield* exporter.start(ann, waiting, ndjson)
      yield* until(exporter.status(second.id, ann), ({ state }) => state === "PENDING")
      yield* exporter.stop(second.id, ann)
      expect(waiting.destroyed).toBe(true)
    })
  )

  it.scopedLive("a Readable that fails makes it FAILED, after what came before", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      const failing = Readable.from(
        (async function* () {
          yield* records(700)
          // What a Readable holds back when it fails, it drops.
          await new Promise((resolve) => setTimeout(resolve, 200))
          throw new Error("no more")
        })()
      )
      const { ended, id } = yield* exporter.start(ann, failing, ndjson)
      expect(yield* ended).toEqual({ state: "FAILED", failure: "SourceFailed" })
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(records(700)))
    })
  )

  it.scopedLive("an async iterable that fails makes it FAILED, after all that came before", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      const failing = (async function* () {
        yield* records(700)
        throw new Error("no more")
      })()
      const { ended, id } = yield* exporter.start(ann, failing, ndjson)
      expect(yield* ended).toEqual({ state: "FAILED", failure: "SourceFailed" })
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(records(700)))
    })
  )

  it.scopedLive("an async iterable is exported, and its iterator returned when the export is stopped", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      const returned = yield* Ref.make(false)
      const iterable: AsyncIterable<ExportRecord> = {
        [Symbol.asyncIterator]: () => {
          let n = 0
          return {
            next: () =>
              n < 1500 ? Promise.resolve({ done: false, value: { n: n++ } }) : new Promise(() => undefined),
            return: () => {
              Effect.runSync(Ref.set(returned, true))
              return Promise.resolve({ done: true, value: undefined })
            }
          }
        }
      }
      const { id } = yield* exporter.start(ann, iterable, ndjson)
      yield* until(exporter.status(id, ann), (status) => status.records === 1500)
      yield* exporter.stop(id, ann)
      expect(yield* Ref.get(returned)).toBe(true)
    })
  )

  it.scopedLive(
    "records of any size are exported, also those larger than what is gathered for an append",
    () =>
      Effect.gen(function* () {
        const { exporter } = yield* fresh({ chunkBytes: 1000, segmentBytes: 3000 })
        const sizes = [10, 5000, 1999, 2001, 1, 100_000, 3, 3, 700, 700, 700]
        const given = sizes.map((size) => ({ text: "é".repeat(size) }))
        for (const gzip of [false, true]) {
          const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(given), { ...ndjson, gzip })
          expect(yield* ended).toEqual({ state: "COMPLETED" })
          const data = yield* bytesOf(exporter.read(id, ann))
          expect(String(gzip ? gunzipSync(data) : data)).toBe(linesOf(given))
          expect((yield* exporter.status(id, ann)).records).toBe(sizes.length)
        }
      })
  )

  it.scopedLive("records that come slowly are there for readers before the end", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      for (const gzip of [false, true]) {
        const { id } = yield* exporter.start(ann, stalling(records(2)), { ...ndjson, gzip })
        yield* until(exporter.status(id, ann), ({ bytes }) => bytes > 0)
        const data = yield* bytesOf(
          exporter.read(id, ann, { to: (yield* exporter.status(id, ann)).bytes - 1 })
        )
        const text = gzip ? gunzipSync(data, { finishFlush: 2 }) : data
        expect(String(text)).toBe(linesOf(records(2)))
      }
    })
  )
})

describe("who may do what", () => {
  it.scopedLive("without the permission of its view nothing is started, and the source is left alone", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh()
      const opened = yield* Ref.make(false)
      const source = Stream.unwrap(Effect.as(Ref.set(opened, true), endless))
      const nobody = userOf("nobody", "customers:read", "exports:start:original")
      const refusal = yield* Effect.flip(exporter.start(nobody, source, ndjson))
      expect(refusal).toMatchObject({ reason: "Forbidden", detail: "exports:start:anonymized" })
      const original = { view: "original", format: "ndjson" } as const
      expect(yield* reasonOf(exporter.start(ann, source, original))).toEqual(["Forbidden", undefined])
      expect(yield* reasonOf(exporter.start(admin, source, ndjson))).toEqual(["Forbidden", undefined])
      expect(yield* ask(url, "DBSIZE")).toBe(0)
      expect(yield* Ref.get(opened)).toBe(false)
    })
  )

  it.scopedLive(
    "somebody else's export is not found, listed, read, finished or stopped; an admin sees all",
    () =>
      Effect.gen(function* () {
        const { exporter } = yield* fresh()
        const { id } = yield* exporter.start(ann, endless, ndjson)
        for (const call of [
          exporter.status(id, bob),
          exporter.stop(id, bob),
          exporter.finish(id, bob),
          bytesOf(exporter.read(id, bob))
        ] as ReadonlyArray<Effect.Effect<unknown, ExportError>>) {
          expect(yield* reasonOf(call)).toEqual(["NotFound", undefined])
        }
        const { id: second } = yield* exporter.start(bob, endless, ndjson)
        expect((yield* exporter.list(ann)).map((status) => status.id)).toEqual([id])
        expect((yield* exporter.list(bob)).map((status) => status.id)).toEqual([second])
        expect((yield* exporter.list(admin)).map((status) => status.id).toSorted()).toEqual(
          [id, second].toSorted()
        )
        expect(yield* exporter.stop(id, admin)).toMatchObject({ state: "CANCELLED", owner: "ann" })
      })
  )

  it.scopedLive(
    "original data is handed out only to who could start such an export, not even to other admins",
    () =>
      Effect.gen(function* () {
        const { exporter } = yield* fresh()
        const { ended, id } = yield* exporter.start(bob, Stream.fromIterable(records(1)), {
          view: "original",
          format: "ndjson"
        })
        yield* ended
        expect((yield* exporter.status(id, admin)).view).toBe("original")
        expect(yield* reasonOf(bytesOf(exporter.read(id, admin)))).toEqual(["Forbidden", undefined])
        const demoted = userOf("bob", "exports:start:anonymized")
        expect(yield* reasonOf(bytesOf(exporter.read(id, demoted)))).toEqual(["Forbidden", undefined])
        expect(String(yield* bytesOf(exporter.read(id, bob)))).toBe(linesOf(records(1)))
      })
  )

  it.scopedLive("only so many run at the same time, of a user and of all, whichever instance is asked", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh({ maxRunningPerUser: 2, maxRunning: 3 })
      const other = yield* exporterAt(url, { maxRunningPerUser: 2, maxRunning: 3 })
      const results = yield* Effect.all(
        [exporter, other, exporter, other, exporter].map(({ start }) =>
          Effect.either(start(ann, endless, ndjson))
        ),
        { concurrency: "unbounded" }
      )
      const started = results.filter(Either.isRight).map(({ right }) => right.id)
      expect(started).toHaveLength(2)
      const refusal = results.find(Either.isLeft)?.left
      expect(refusal).toMatchObject({ reason: "TooManyExports", retryable: true })
      expect(yield* exporter.start(bob, endless, ndjson)).toMatchObject({ id: expect.any(String) })
      expect(yield* reasonOf(exporter.start(bob, endless, ndjson))).toEqual(["TooManyExports", undefined])
      yield* exporter.stop(started[0] ?? "", ann)
      expect(yield* reasonOf(exporter.start(ann, endless, ndjson))).toBe("success")
    })
  )

  it.scopedLive("options that make no sense are refused before anything is started", () =>
    Effect.gen(function* () {
      const { exporter, url } = yield* fresh()
      const csv = { view: "anonymized", format: "csv" } as const
      for (const options of [
        csv,
        { ...csv, columns: [] },
        { ...csv, columns: ["a", "a"] },
        { ...csv, columns: [""] },
        { ...ndjson, total: -1 },
        { ...ndjson, total: 0.5 }
      ]) {
        expect(yield* reasonOf(exporter.start(ann, endless, options))).toEqual(["InvalidOptions", undefined])
      }
      const unnamed = userOf("", "exports:start:anonymized")
      expect(yield* reasonOf(exporter.start(unnamed, endless, ndjson))).toEqual(["InvalidOptions", undefined])
      expect(yield* ask(url, "DBSIZE")).toBe(0)
    })
  )

  it.scopedLive("a finished export that is not live says so", () =>
    Effect.gen(function* () {
      const { exporter } = yield* fresh()
      const { id } = yield* exporter.start(ann, endless, ndjson)
      expect(yield* reasonOf(exporter.finish(id, ann))).toEqual(["NotLive", undefined])
    })
  )

  it.scopedLive("the audit knows who was refused, started, stopped and downloaded, and how much", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const { audit, records: audited } = auditLog()
      const exporter = yield* Effect.provideService(exporterAt(url), ExportAudit.ExportAudit, audit)
      yield* Effect.flip(exporter.start(admin, endless, ndjson))
      const { ended, id } = yield* exporter.start(ann, Stream.fromIterable(records(3)), ndjson)
      yield* ended
      const bytes = Buffer.byteLength(linesOf(records(3)))
      yield* bytesOf(exporter.read(id, admin))
      const second = yield* exporter.start(ann, endless, ndjson)
      yield* exporter.stop(second.id, admin)
      const told = audited.map(({ bytes, event, exportId, rows, state, who }) => ({
        event,
        who,
        export: exportId === id ? 1 : exportId === second.id ? 2 : 0,
        ...(exportId === second.id ? {} : { bytes, rows }),
        state
      }))
      expect(told).toEqual([
        { event: "Refused", who: "root", export: 0 },
        { event: "Started", who: "ann", export: 1 },
        { event: "Ended", who: "ann", export: 1, bytes, rows: 3, state: "COMPLETED" },
        { event: "DownloadStarted", who: "root", export: 1 },
        { event: "DownloadEnded", who: "root", export: 1, bytes },
        { event: "Started", who: "ann", export: 2 },
        { event: "Ended", who: "ann", export: 2, state: "CANCELLED" },
        { event: "Stopped", who: "root", export: 2, state: "CANCELLED" }
      ])
    })
  )
})
