import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { redisCommands } from "@twinbox/services"
import { Deferred, Effect, Exit, Scope, Stream } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import {
  ann,
  ask,
  bytesOf,
  endless,
  exporterAt,
  hashAt,
  linesOf,
  ndjson,
  ownRedis,
  records,
  stalling,
  until
} from "./testParts.ts"

const program = new URL("exporterProcess.ts", import.meta.url).pathname

/** A process that writes an export on the Redis of a URL, and the export's id. */
const exportingProcess = (url: string) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--conditions=twinbox-source", program], {
          env: { ...process.env, EXPORT_REDIS: url },
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (started) => Effect.sync(() => started.kill("SIGKILL"))
    )
    const id = yield* Effect.async<string>((resume) => {
      let printed = ""
      child.stdout.on("data", (bytes: Buffer) => {
        printed += bytes
        const named = /export=(\S+)\n/.exec(printed)?.[1]
        if (named !== undefined) resume(Effect.succeed(named))
      })
    })
    return { child, id }
  })

describe("a process that ends without a word", () => {
  it.scopedLive(
    "its export is marked FAILED by another instance, exactly once, with what it had and an expiry",
    () =>
      Effect.gen(function* () {
        const { url } = yield* testRedis
        const { child, id } = yield* exportingProcess(url)
        const one = yield* exporterAt(url)
        const other = yield* exporterAt(url)
        yield* until(one.status(id, ann), ({ bytes }) => bytes > 0)
        expect(yield* one.sweep).toEqual([])
        child.kill("SIGKILL")
        const keys = yield* ask(url, "KEYS", "*")
        for (const key of Array.isArray(keys) ? keys : []) {
          expect([key, Number(yield* ask(url, "PTTL", String(key))) > 0]).toEqual([key, true])
        }
        const marked = yield* until(
          Effect.map(Effect.all([one.sweep, other.sweep], { concurrency: 2 }), (ids) => ids.flat()),
          (ids) => ids.length > 0
        )
        expect(marked).toEqual([id])
        expect(yield* one.sweep).toEqual([])
        const status = yield* other.status(id, ann)
        expect(status).toMatchObject({ state: "FAILED", failure: "ProcessEnded" })
        const data = yield* bytesOf(one.read(id, ann))
        expect(data.length).toBe(status.bytes)
        expect(String(data)).toMatch(/^(\{"at":"some moment"\}\n)+$/)
        expect(Number(yield* ask(url, "PTTL", `${id}-data`))).toBeGreaterThan(0)
      })
  )

  it.scopedLive("one that was only frozen finds its export ended, and writes no byte more", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const { child, id } = yield* exportingProcess(url)
      const exporter = yield* exporterAt(url)
      yield* until(exporter.status(id, ann), ({ bytes }) => bytes > 0)
      child.kill("SIGSTOP")
      yield* until(exporter.sweep, (ids) => ids.includes(id))
      const { bytes } = yield* exporter.status(id, ann)
      child.kill("SIGCONT")
      yield* Effect.sleep("700 millis")
      expect(yield* exporter.status(id, ann)).toMatchObject({
        bytes,
        state: "FAILED",
        failure: "ProcessEnded"
      })
      expect(yield* ask(url, "STRLEN", `${id}-data`)).toBe(bytes)
    })
  )

  it.scopedLive("the sweep runs by itself, and leaves exports alone whose process lives", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const alive = yield* exporterAt(url, { heartbeatLimit: "1 second" })
      const { child, id } = yield* exportingProcess(url)
      const mine = yield* alive.start(ann, endless, ndjson)
      child.kill("SIGKILL")
      yield* until(alive.status(id, ann), ({ state }) => state === "FAILED")
      yield* Effect.sleep("1500 millis")
      expect((yield* alive.status(mine.id, ann)).state).toBe("PENDING")
    })
  )

  it.scopedLive("does not count against the limit of its user", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const exporter = yield* exporterAt(url, { maxRunningPerUser: 1, heartbeatLimit: "1 minute" })
      const { child, id } = yield* exportingProcess(url)
      expect(yield* Effect.flip(exporter.start(ann, endless, ndjson))).toMatchObject({
        reason: "TooManyExports"
      })
      child.kill("SIGKILL")
      yield* until(Effect.isSuccess(exporter.start(ann, endless, ndjson)), (isStarted) => isStarted)
      expect((yield* exporter.status(id, ann)).state).not.toBe("FAILED")
    })
  )
})

/** Records that go on when they are let. */
const inTwoParts = (gate: Deferred.Deferred<void>) =>
  Stream.concat(
    Stream.fromIterable(records(500)),
    Stream.unwrap(Effect.as(Deferred.await(gate), Stream.fromIterable(records(500, 500))))
  )

describe("a Redis that fails", () => {
  it.scopedLive("restarted in the middle of an export: it goes on, and every byte is there once", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis("--appendfsync", "always")
      const exporter = yield* exporterAt(server.uri, { chunkBytes: 1000 })
      const gate = yield* Deferred.make<void>()
      const { ended, id } = yield* exporter.start(ann, inTwoParts(gate), ndjson)
      yield* until(exporter.status(id, ann), (status) => status.records === 500)
      yield* server.kill("SIGKILL")
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.sleep("300 millis")
      yield* server.start
      expect(yield* ended).toEqual({ state: "COMPLETED" })
      const data = yield* bytesOf(exporter.read(id, ann))
      expect(String(data)).toBe(linesOf(records(1000)))
      expect((yield* exporter.status(id, ann)).checksum).toBe(createHash("sha256").update(data).digest("hex"))
    })
  )

  it.scopedLive("killed again and again under load: no byte is missing and none is there twice", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis("--appendfsync", "always")
      const exporter = yield* exporterAt(server.uri, { chunkBytes: 2000, segmentBytes: 50_000 })
      const steadily = Stream.fromIterable(records(6000)).pipe(
        Stream.rechunk(20),
        Stream.mapChunksEffect((chunk) => Effect.delay(Effect.succeed(chunk), "2 millis"))
      )
      const { ended, id } = yield* exporter.start(ann, steadily, ndjson)
      for (let kills = 0; kills < 3; kills++) {
        yield* Effect.sleep("150 millis")
        yield* server.kill("SIGKILL")
        yield* server.start
      }
      expect(yield* ended).toEqual({ state: "COMPLETED" })
      expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(records(6000)))
    })
  )

  for (const isFoundBySweeps of [true, false]) {
    const who = isFoundBySweeps ? "whoever sees it first" : "its own instance, where no sweep finds it"
    it.scopedLive(
      `away for longer than its patience: the source is closed, and FAILED comes later from ${who}`,
      () =>
        Effect.gen(function* () {
          const server = yield* ownRedis("--appendfsync", "always")
          const exporter = yield* exporterAt(server.uri, { heartbeatLimit: "1500 millis" })
          const closed = yield* Deferred.make<void>()
          const source = Stream.ensuring(stalling(records(3)), Deferred.succeed(closed, undefined))
          const { ended, id } = yield* exporter.start(ann, source, ndjson)
          yield* until(exporter.status(id, ann), (status) => status.records === 3)
          // In one go, so that no heartbeat comes between.
          const hidden = isFoundBySweeps ? [] : [["ZREM", "exports-running", id]]
          yield* Effect.ignore(redisCommands(server.uri, [...hidden, ["SHUTDOWN", "NOSAVE"]]))
          yield* Effect.ignore(server.kill("SIGKILL"))
          expect(yield* Effect.timeout(ended, "20 seconds")).toEqual({
            state: "FAILED",
            failure: "RedisLost"
          })
          yield* Deferred.await(closed)
          yield* server.start
          const status = yield* until(exporter.status(id, ann), ({ state }) => state === "FAILED")
          expect(isFoundBySweeps ? ["RedisLost", "ProcessEnded"] : ["RedisLost"]).toContain(status.failure)
          expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(records(3)))
        })
    )
  }

  it.scopedLive("back without what it had confirmed: the export fails, and never goes on with a hole", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const exporter = yield* exporterAt(server.uri, { chunkBytes: 100 })
      const gate = yield* Deferred.make<void>()
      const { ended, id } = yield* exporter.start(ann, inTwoParts(gate), ndjson)
      yield* until(exporter.status(id, ann), (status) => status.records === 500)
      const { bytes } = yield* exporter.status(id, ann)
      yield* ask(server.uri, "DEL", `${id}-data`)
      yield* Deferred.succeed(gate, undefined)
      expect(yield* ended).toEqual({ state: "FAILED", failure: "DataLost" })
      expect((yield* exporter.status(id, ann)).bytes).toBe(bytes)
      const again = yield* exporter.start(ann, endless, ndjson)
      yield* ask(server.uri, "FLUSHALL")
      expect(yield* again.ended).toEqual({ state: "FAILED", failure: "DataLost" })
      expect(yield* ask(server.uri, "EXISTS", again.id, `${again.id}-data`, `${again.id}-meta`)).toBe(0)
    })
  )

  it.scopedLive(
    "full: the export is FAILED with that reason although nothing can be written, with what it had",
    () =>
      Effect.gen(function* () {
        const server = yield* ownRedis("--maxmemory-policy", "noeviction")
        const exporter = yield* exporterAt(server.uri, { chunkBytes: 1000, segmentBytes: 3000 })
        const gate = yield* Deferred.make<void>()
        const { ended, id } = yield* exporter.start(ann, inTwoParts(gate), ndjson)
        yield* until(exporter.status(id, ann), (status) => status.records === 500)
        yield* ask(server.uri, "CONFIG", "SET", "maxmemory", "1")
        yield* Deferred.succeed(gate, undefined)
        expect(yield* ended).toEqual({ state: "FAILED", failure: "RedisFull" })
        expect(yield* hashAt(server.uri, `${id}-meta`)).toMatchObject({ error: "RedisFull" })
        expect(String(yield* bytesOf(exporter.read(id, ann)))).toBe(linesOf(records(500)))
        const keys = yield* ask(server.uri, "KEYS", "*")
        for (const key of Array.isArray(keys) ? keys : []) {
          expect([key, Number(yield* ask(server.uri, "PTTL", String(key))) > 0]).toEqual([key, true])
        }
        expect(yield* Effect.flip(exporter.start(ann, endless, ndjson))).toMatchObject({
          reason: "RedisFull",
          retryable: true
        })
        expect(yield* ask(server.uri, "ZCARD", "exports-running")).toBe(0)
      })
  )

  it.scopedLive("full: one that runs can be stopped all the same", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis("--maxmemory-policy", "noeviction")
      const exporter = yield* exporterAt(server.uri)
      const { id } = yield* exporter.start(ann, stalling(records(3)), ndjson)
      yield* until(exporter.status(id, ann), (status) => status.records === 3)
      yield* ask(server.uri, "CONFIG", "SET", "maxmemory", "1")
      expect((yield* exporter.stop(id, ann)).state).toBe("CANCELLED")
      expect(yield* ask(server.uri, "GET", id)).toBe("CANCELLED")
    })
  )

  it.scopedLive("away: calls fail as Unavailable, and a shut down does not wait for it", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const scope = yield* Scope.make()
      const exporter = yield* Scope.extend(exporterAt(server.uri, { closeWithin: "300 millis" }), scope)
      const { id } = yield* exporter.start(ann, endless, ndjson)
      yield* server.kill("SIGKILL")
      for (const call of [
        exporter.status(id, ann),
        exporter.start(ann, endless, ndjson),
        exporter.stop(id, ann)
      ]) {
        expect(yield* Effect.flip(call as Effect.Effect<unknown, unknown>)).toMatchObject({
          reason: "Unavailable",
          retryable: true
        })
      }
      yield* Effect.timeout(Scope.close(scope, Exit.void), "10 seconds")
    })
  )
})
