import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Logger, Option } from "effect"
import { connect, message, ownRedis } from "./testParts.ts"
import {
  create,
  listingsAt,
  logKey,
  onFreshRedis,
  originalsOver,
  outboxOver,
  recordAt,
  refusedKey,
  remove,
  replace
} from "./testOutbox.ts"

const reasonOf = <A, E extends { readonly reason: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("a write in Redis", () => {
  it.scopedLive("shows at once, is pending, and stands in the log with all that MongoDB needs", () =>
    Effect.gen(function* () {
      const { ask, outbox, url } = yield* onFreshRedis()
      const written = yield* outbox.write({
        ...create("42", { name: "Ada", email: "ada@x.org" }),
        headers: { traceparent: "00-1-2-01" }
      })
      expect(written).toEqual({
        id: "42",
        version: 0,
        pending: expect.stringMatching(/^\d+-\d+$/),
        isRepeat: false
      })
      expect(yield* outbox.get("42")).toEqual(
        Option.some({
          id: "42",
          version: 0,
          pending: written.pending,
          document: { name: "Ada", email: "ada@x.org" }
        })
      )
      expect(yield* recordAt(url, "42")).toEqual({
        version: "0",
        pending: written.pending,
        json: '{"_id":"42","name":"Ada","email":"ada@x.org"}',
        "index:email": "ada@x.org"
      })
      expect(yield* ask("XRANGE", logKey, "-", "+")).toEqual([
        [
          written.pending,
          [
            "id",
            expect.stringMatching(/^[0-9a-f-]{36}$/),
            "key",
            "customer/42",
            "operation",
            "create",
            "headers",
            '{"traceparent":"00-1-2-01"}',
            "body",
            '{"name":"Ada","email":"ada@x.org"}'
          ]
        ]
      ])
      expect(yield* outbox.depth).toBe(1)
    })
  )

  it.scopedLive("of a patch records the patch and shows the whole document", () =>
    Effect.gen(function* () {
      const { ask, outbox } = yield* onFreshRedis()
      yield* outbox.write(create("42", { name: "Ada", city: "London" }))
      yield* outbox.write({
        operation: "patch",
        id: "42",
        document: { name: "Ada" },
        patch: { city: null },
        expectedVersion: 0
      })
      expect(Option.getOrThrow(yield* outbox.get("42")).document).toEqual({ name: "Ada" })
      const entries = yield* ask("XREVRANGE", logKey, "+", "-", "COUNT", "1")
      expect(entries).toEqual([
        [expect.any(String), expect.arrayContaining(["body", '{"city":null}', "expectedVersion", "0"])]
      ])
    })
  )

  it.scopedLive(
    "refuses to create what is there and to change what is not, and then leaves all as it was",
    () =>
      Effect.gen(function* () {
        const { outbox, url } = yield* onFreshRedis()
        yield* outbox.write(create("42", { name: "Ada" }))
        const before = yield* recordAt(url, "42")
        expect(yield* reasonOf(outbox.write(create("42", { name: "Eve" })))).toBe("Exists")
        expect(yield* reasonOf(outbox.write(replace("7", { name: "Eve" })))).toBe("NotFound")
        expect(yield* reasonOf(outbox.write(remove("7")))).toBe("NotFound")
        const patch = { operation: "patch", id: "7", document: {}, patch: {} } as const
        expect(yield* reasonOf(outbox.write(patch))).toBe("NotFound")
        expect(yield* recordAt(url, "42")).toEqual(before)
        expect(yield* recordAt(url, "7")).toEqual({})
        expect(yield* outbox.depth).toBe(1)
      })
  )

  it.scopedLive("of a delete hides the record and keeps its version; it can be made again", () =>
    Effect.gen(function* () {
      const { connection, outbox, url } = yield* onFreshRedis()
      const mirror = yield* originalsOver(connection)
      yield* mirror.deliver([message("42", 4, '{"_id":"42","version":4,"name":"Ada"}')])
      const deleted = yield* outbox.write(remove("42"))
      expect(deleted.version).toBe(4)
      expect(yield* outbox.get("42")).toEqual(Option.none())
      expect(yield* recordAt(url, "42")).toEqual({ version: "4", pending: deleted.pending })
      expect(yield* reasonOf(outbox.write(remove("42")))).toBe("NotFound")
      const again = yield* outbox.write(create("42", { name: "Eve" }))
      expect(again.version).toBe(4)
      expect(Option.getOrThrow(yield* outbox.get("42")).pending).toBe(again.pending)
    })
  )

  it.scopedLive("goes on from the version of a tombstone, which then goes", () =>
    Effect.gen(function* () {
      const { connection, outbox, url } = yield* onFreshRedis()
      const mirror = yield* originalsOver(connection)
      yield* mirror.deliver([message("42", 5, null)])
      expect(yield* recordAt(url, "42")).toEqual({ tombstone: "5" })
      const { pending } = yield* outbox.write(create("42", { name: "Ada" }))
      expect(yield* recordAt(url, "42")).toEqual({ version: "5", pending, json: '{"_id":"42","name":"Ada"}' })
    })
  )

  it.scopedLive("with another version than the one last seen from MongoDB is refused", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const mirror = yield* originalsOver(connection)
      yield* mirror.deliver([message("42", 4, '{"_id":"42","version":4}')])
      const stale = { ...replace("42", { name: "Ada" }), expectedVersion: 3 }
      expect(yield* reasonOf(outbox.write(stale))).toBe("VersionConflict")
      expect(yield* outbox.depth).toBe(0)
      // Two writers with the same one: both are accepted, and MongoDB decides.
      yield* outbox.write({ ...stale, expectedVersion: 4 })
      yield* outbox.write({ ...stale, expectedVersion: 4 })
      expect(yield* outbox.depth).toBe(2)
    })
  )

  it.scopedLive("made from a record that has changed since is refused", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const mirror = yield* originalsOver(connection)
      const first = yield* outbox.write(create("42", { name: "Ada" }))
      const patch = {
        operation: "patch",
        id: "42",
        document: { name: "Eve" },
        patch: { name: "Eve" }
      } as const
      const basis = { version: first.version, pending: first.pending }
      const second = yield* outbox.write({ ...patch, basis })
      expect(yield* reasonOf(outbox.write({ ...patch, basis }))).toBe("Changed")
      expect(yield* reasonOf(outbox.write({ ...patch, basis: { version: 0, pending: undefined } }))).toBe(
        "Changed"
      )
      const decided = message("42", 2, '{"_id":"42","version":2}')
      yield* mirror.deliver([{ ...decided, headers: { "remote-write": second.pending } }])
      expect(yield* reasonOf(outbox.write({ ...patch, basis: { version: 1, pending: undefined } }))).toBe(
        "Changed"
      )
      yield* outbox.write({ ...patch, basis: { version: 2, pending: undefined } })
    })
  )

  it.scopedLive("with a known idempotency key happens once, and not for another request", () =>
    Effect.gen(function* () {
      const { ask, outbox, url } = yield* onFreshRedis({ idempotencyFor: "1 minute" })
      const idempotency = { key: "ada@x.org", digest: "d1" }
      const first = yield* outbox.write({ ...create("42", { name: "Ada" }), idempotency })
      const repeated = yield* outbox.write({ ...create("43", { name: "Ada" }), idempotency })
      expect(repeated).toEqual({ ...first, isRepeat: true })
      const other = { key: "ada@x.org", digest: "d2" }
      expect(yield* reasonOf(outbox.write({ ...create("44", {}), idempotency: other }))).toBe("KeyReused")
      expect(yield* outbox.depth).toBe(1)
      expect(yield* recordAt(url, "43")).toEqual({})
      const keys = yield* ask("KEYS", "idempotency:*")
      expect(keys).toHaveLength(1)
      expect(JSON.stringify(keys)).not.toContain("ada")
      const left = Number(yield* ask("PTTL", String(Array.isArray(keys) ? keys[0] : "")))
      expect(left).toBeGreaterThan(30_000)
      expect(left).toBeLessThanOrEqual(60_000)
    })
  )

  it.scopedLive("that is refused does not use up its idempotency key", () =>
    Effect.gen(function* () {
      const { outbox } = yield* onFreshRedis()
      const idempotency = { key: "k", digest: "d" }
      expect(yield* reasonOf(outbox.write({ ...replace("42", {}), idempotency }))).toBe("NotFound")
      expect((yield* outbox.write({ ...create("42", {}), idempotency })).isRepeat).toBe(false)
    })
  )

  it.scopedLive("over the limits is refused: a long document, a long patch, a full log", () =>
    Effect.gen(function* () {
      const { outbox } = yield* onFreshRedis({ maxBodyBytes: 100, maxLog: 2 })
      expect(yield* reasonOf(outbox.write(create("1", { name: "é".repeat(60) })))).toBe("TooLarge")
      yield* outbox.write(create("1", { name: "Ada" }))
      const patch = { operation: "patch", id: "1", document: {}, patch: { name: "é".repeat(60) } } as const
      expect(yield* reasonOf(outbox.write(patch))).toBe("TooLarge")
      yield* outbox.write(create("2", { name: "Eve" }))
      const full = yield* Effect.flip(outbox.write(create("3", {})))
      expect(full).toMatchObject({ _tag: "WriteRefused", reason: "Full", retryable: true })
      expect(yield* outbox.get("3")).toEqual(Option.none())
    })
  )

  it.scopedLive("that Redis cannot take changes nothing: out of memory, a log of another type", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const connection = yield* connect(server.uri)
      const outbox = yield* outboxOver(connection)
      yield* connection.command(["CONFIG", "SET", "maxmemory", "1"])
      expect(yield* reasonOf(outbox.write(create("42", { name: "Ada" })))).toBe("OutOfMemory")
      expect(yield* recordAt(server.uri, "42")).toEqual({})
      yield* connection.command(["CONFIG", "SET", "maxmemory", "0"])
      yield* connection.command(["SET", logKey, "something else"])
      expect(yield* reasonOf(outbox.write(create("42", { name: "Ada" })))).toBe("WrongType")
      expect(yield* recordAt(server.uri, "42")).toEqual({})
      yield* connection.command(["DEL", logKey])
      yield* connection.command(["SET", "customer_v2:42", "something else"])
      expect(yield* reasonOf(outbox.write(create("42", { name: "Ada" })))).toBe("WrongType")
      expect(yield* outbox.depth).toBe(0)
    })
  )

  it.scopedLive("goes through though Redis has forgotten the scripts", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const outbox = yield* outboxOver(yield* connect(server.uri))
      yield* outbox.write(create("1", {}))
      yield* Effect.flatMap(connect(server.uri), (redis) => redis.command(["SCRIPT", "FLUSH"]))
      yield* outbox.write(create("2", {}))
      expect(yield* outbox.depth).toBe(2)
    })
  )
})

describe("a listing", () => {
  it.scopedLive("is read page by page, by rising ids", () =>
    Effect.gen(function* () {
      const { outbox } = yield* onFreshRedis({ maxPage: 3 })
      const ids = ["b", "a", "é", "c", "🙂", "B", "10", "9"]
      for (const id of ids) yield* outbox.write(create(id, { name: id }))
      const rising = ["10", "9", "B", "a", "b", "c", "é", "🙂"]
      const seen: Array<string> = []
      let after: string | undefined
      for (;;) {
        const page = yield* outbox.list({ limit: 100, ...(after === undefined ? {} : { after }) })
        expect(page.length).toBeLessThanOrEqual(3)
        if (page.length === 0) break
        seen.push(...page.map(({ id }) => id))
        after = page.at(-1)?.id
      }
      expect(seen).toEqual(rising)
      expect((yield* outbox.list({ limit: 2, after: "a" })).map(({ id }) => id)).toEqual(["b", "c"])
      expect(yield* outbox.list({ limit: 1 })).toEqual([
        { id: "10", version: 0, pending: expect.any(String), document: { name: "10" } }
      ])
    })
  )

  it.scopedLive("finds by an indexed value exactly, and follows every change of it", () =>
    Effect.gen(function* () {
      const { outbox, url } = yield* onFreshRedis()
      const find = (value: string, after?: string) =>
        Effect.map(
          outbox.list({
            limit: 10,
            where: { index: "email", value },
            ...(after === undefined ? {} : { after })
          }),
          (page) => page.map(({ id }) => id)
        )
      yield* outbox.write(create("1", { email: "a@x" }))
      yield* outbox.write(create("2", { email: "a@x" }))
      yield* outbox.write(create("3", { email: "a@xy" }))
      yield* outbox.write(create("4", { name: "none" }))
      yield* outbox.write(create("5", { email: "a@x\0b" }))
      expect(yield* find("a@x")).toEqual(["1", "2"])
      expect(yield* find("a@x", "1")).toEqual(["2"])
      expect(yield* find("a@x\0b")).toEqual([])
      expect(yield* find("")).toEqual([])
      expect(yield* find("a@xy")).toEqual(["3"])
      yield* outbox.write(replace("1", { email: "new@x" }))
      yield* outbox.write(replace("3", { name: "no longer" }))
      yield* outbox.write(remove("2"))
      expect(yield* find("a@x")).toEqual([])
      expect(yield* find("new@x")).toEqual(["1"])
      expect(yield* listingsAt(url)).toEqual({ ids: ["1", "3", "4", "5"], emails: ["new@x\u00001"] })
    })
  )
})

const refusedEntry = (id: string, ...more: ReadonlyArray<string>) => [
  "XADD",
  refusedKey,
  "*",
  "refusal",
  "NotFound",
  "attempts",
  "1",
  "write",
  "5-0",
  "id",
  "11111111-2222-4333-8444-555555555555",
  "key",
  `customer/${id}`,
  "operation",
  "replace",
  "headers",
  '{"a":"b"}',
  "body",
  '{"name":"secret"}',
  ...more
]

describe("refused writes", () => {
  it.scopedLive("are listed newest first, page by page, without their bodies", () =>
    Effect.gen(function* () {
      const { ask, outbox } = yield* onFreshRedis()
      for (const id of ["1", "2", "3"]) yield* ask(...refusedEntry(id))
      const [newest, second] = yield* outbox.refused.list({ limit: 2 })
      expect(newest).toEqual({
        position: expect.stringMatching(/^\d+-\d+$/),
        write: "5-0",
        key: "customer/3",
        operation: "replace",
        reason: "NotFound",
        attempts: 1,
        refusedAt: Number(newest?.position.split("-")[0])
      })
      const rest = yield* outbox.refused.list({ limit: 2, before: second!.position })
      expect(rest.map(({ key }) => key)).toEqual(["customer/1"])
      expect(yield* outbox.refused.list({ limit: 2, before: "+" })).toEqual([])
    })
  )

  it.scopedLive(
    "go back to the end of the log for whatever version there is, and show nothing meanwhile",
    () =>
      Effect.gen(function* () {
        const { ask, outbox, url } = yield* onFreshRedis()
        yield* ask(...refusedEntry("1", "expectedVersion", "3"))
        const [refused] = yield* outbox.refused.list({ limit: 1 })
        const position = yield* outbox.refused.requeue(refused!.position)
        const entries = yield* ask("XRANGE", logKey, "-", "+")
        expect(entries).toEqual([
          [
            position,
            [
              "id",
              expect.not.stringContaining("1111"),
              "key",
              "customer/1",
              "operation",
              "replace",
              "headers",
              '{"a":"b"}',
              "body",
              '{"name":"secret"}'
            ]
          ]
        ])
        expect(yield* recordAt(url, "1")).toEqual({})
        expect(yield* outbox.refused.list({ limit: 1 })).toEqual([])
        expect(yield* reasonOf(outbox.refused.requeue(refused!.position))).toBe("NotFound")
      })
  )

  it.scopedLive("stay where they are when the log is full", () =>
    Effect.gen(function* () {
      const { ask, outbox } = yield* onFreshRedis({ maxLog: 1 })
      yield* ask(...refusedEntry("1"))
      yield* outbox.write(create("2", {}))
      const [refused] = yield* outbox.refused.list({ limit: 1 })
      expect(yield* reasonOf(outbox.refused.requeue(refused!.position))).toBe("Full")
      expect(yield* outbox.refused.list({ limit: 1 })).toHaveLength(1)
    })
  )

  it.scopedLive("are discarded one by one; what is not there is not found", () =>
    Effect.gen(function* () {
      const { ask, outbox } = yield* onFreshRedis()
      yield* ask(...refusedEntry("1"))
      yield* ask(...refusedEntry("2"))
      const [newest] = yield* outbox.refused.list({ limit: 2 })
      yield* outbox.refused.discard(newest!.position)
      expect((yield* outbox.refused.list({ limit: 2 })).map(({ key }) => key)).toEqual(["customer/1"])
      expect(yield* reasonOf(outbox.refused.discard(newest!.position))).toBe("NotFound")
      for (const position of ["-", "1", "secret"]) {
        expect(yield* reasonOf(outbox.refused.discard(position))).toBe("NotFound")
        expect(yield* reasonOf(outbox.refused.requeue(position))).toBe("NotFound")
      }
    })
  )
})

describe("a start", () => {
  const warningsAt = (...given: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const server = yield* ownRedis(...given)
      const connection = yield* connect(server.uri)
      const lines: Array<string> = []
      const logger = Logger.make(({ message: text }) => lines.push(String(text)))
      yield* outboxOver(connection).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      return lines.join("\n")
    })

  it.scopedLive("warns of settings with which a restart loses writes", () =>
    Effect.gen(function* () {
      expect(yield* warningsAt("--appendonly", "no")).toMatch(/appendonly yes.*appendfsync always/)
      expect(yield* warningsAt("--appendfsync", "no")).toContain("appendfsync everysec")
      expect(yield* warningsAt("--appendfsync", "everysec")).toBe("")
    })
  )

  it.scopedLive("says what is wrong with a stored record that is not ours", () =>
    Effect.gen(function* () {
      const { ask, outbox } = yield* onFreshRedis()
      yield* ask("HSET", "customer_v2:42", "version", "secret", "json", "{}")
      const result = yield* Effect.either(outbox.get("42"))
      expect(result).toMatchObject({ left: { _tag: "RedisError", reason: "Refused" } })
      expect(String(Either.isLeft(result) ? result.left.message : "")).not.toContain("secret")
    })
  )
})
