import { describe, expect, it, layer } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import { redisCommands } from "@twinbox/services"
import { Effect } from "effect"
import { ObjectId } from "mongodb"
import { failNext } from "../../../packages/mongodb/test/testDatabase.ts"
import type { LogLine } from "../src/LogLine.ts"
import * as LogStore from "../src/LogStore.ts"
import { type Api, SharedApi, sharedApi, startApi } from "./apiServer.ts"

const admin = "admin-token-0123456789"
const reader = "reader-token-0123456789"
const tokens = JSON.stringify({
  [admin]: { user: "ann", permissions: ["admin"] },
  [reader]: {
    user: "rea",
    permissions: [
      "customers:read",
      "customers:write",
      "twins:read",
      "exports:start:anonymized",
      "exports:start:original"
    ]
  }
})

const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

const start = Date.parse("2026-05-01T12:00:00.000Z")

/** Lines of one session, a millisecond after each two. */
const lines = (session_id: string, count: number): ReadonlyArray<LogLine> =>
  Array.from({ length: count }, (_, at) => ({
    _id: new ObjectId(),
    at: new Date(start + Math.floor(at / 2)),
    level: "INFO",
    message: `line ${at}`,
    session_id,
    request_id: `r${at % 2}`,
    notes: { status: 200 },
    errors: []
  }))

const store = ({ database }: Api, given: ReadonlyArray<LogLine>) =>
  Effect.gen(function* () {
    const logs = yield* LogStore.make
    yield* logs.ensure
    yield* logs.insert(given)
  }).pipe(Effect.provideService(MongoDatabase.MongoDatabase, database))

interface Page {
  readonly items: ReadonlyArray<{ readonly message: string }>
  readonly next: string | null
}

layer(sharedApi({ tokens }), { excludeTestServices: true })("GET /admin/logs", (it) => {
  const list = (query: string, token = admin) =>
    Effect.flatMap(SharedApi, ({ call }) => call("GET", `/admin/logs${query}`, as(token)))
  const messages = (query: string) =>
    Effect.map(list(query), ({ body }) => (body as Page).items.map(({ message }) => message))

  it.effect("shows lines of a session, a request or both, the newest first", () =>
    Effect.gen(function* () {
      yield* store(yield* SharedApi, lines("one", 4))
      const reply = yield* list("?session_id=one&request_id=r1")
      expect([reply.status, reply.headers.get("cache-control")]).toEqual([200, "no-store"])
      const line = { level: "INFO", session_id: "one", request_id: "r1", notes: { status: 200 }, errors: [] }
      expect(reply.body).toEqual({
        items: [
          { at: "2026-05-01T12:00:00.001Z", message: "line 3", ...line },
          { at: "2026-05-01T12:00:00.000Z", message: "line 1", ...line }
        ],
        next: null
      })
      expect(yield* messages("?session_id=one")).toEqual(["line 3", "line 2", "line 1", "line 0"])
      expect(yield* messages("?session_id=nobody")).toEqual([])
    })
  )

  it.effect("goes on where a page ended, also within a millisecond", () =>
    Effect.gen(function* () {
      yield* store(yield* SharedApi, lines("pages", 8))
      const seen: Array<string> = []
      let before = ""
      for (;;) {
        const { body } = yield* list(`?session_id=pages&limit=3${before}`)
        const { items, next } = body as Page
        seen.push(...items.map(({ message }) => message))
        if (next === null) break
        before = `&before=${next}`
      }
      expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1, 0].map((at) => `line ${at}`))
    })
  )

  it.effect("asks for an id, and says what is wrong with the query without repeating it", () =>
    Effect.gen(function* () {
      for (const [query, path] of [
        ["", "session_id"],
        ["?limit=5", "session_id"],
        ["?session_id=", "session_id"],
        ["?session_id=a%20b", "session_id"],
        ["?session_id=a&session_id=b", "session_id"],
        ["?request_id[$ne]=secret", "(a name that is not repeated)"],
        ["?request_id=secret%40example.com", "request_id"],
        ["?request_id=r&limit=0", "limit"],
        ["?request_id=r&limit=201", "limit"],
        ["?request_id=r&before=secret", "before"],
        ["?request_id=r&sesion_id=secret", "sesion_id"]
      ] as const) {
        const reply = yield* list(query)
        expect([query, reply.status, reply.headers.get("content-type")]).toEqual([
          query,
          400,
          "application/problem+json"
        ])
        expect([query, reply.body]).toEqual([
          query,
          expect.objectContaining({
            type: "urn:twinbox:problem:invalid-request",
            errors: [expect.objectContaining({ path })]
          })
        ])
        expect(reply.text).not.toContain("secret")
      }
    })
  )

  it.effect("is described, with its parameters and all that it may answer", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const { body } = yield* call("GET", "/openapi.json")
      const { paths } = body as {
        readonly paths: Readonly<
          Record<string, Readonly<Record<string, { parameters: Array<{ name: string }>; responses: object }>>>
        >
      }
      const operation = paths["/admin/logs"]?.["get"]
      expect(operation?.parameters.map(({ name }) => name)).toEqual([
        "session_id",
        "request_id",
        "limit",
        "before"
      ])
      expect(Object.keys(operation?.responses ?? {}).toSorted()).toEqual([
        "200",
        "400",
        "401",
        "403",
        "500",
        "503"
      ])
    })
  )

  it.effect("is for admins", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      expect((yield* call("GET", "/admin/logs?request_id=r")).status).toBe(401)
      const refused = yield* list("?request_id=r", reader)
      expect([refused.status, refused.body]).toMatchObject([403, { type: "urn:twinbox:problem:forbidden" }])
      expect((yield* list("", reader)).status).toBe(403)
      expect((yield* list("?request_id=r")).status).toBe(200)
    })
  )
})

describe("GET /admin/logs", () => {
  it.scopedLive("is 503 while MongoDB is away", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      const ask = api.call("GET", "/admin/logs?request_id=r")
      // 9001: SocketException
      yield* failNext(api.database, 2, {
        failCommands: ["find"],
        errorCode: 9001,
        errorLabels: ["RetryableWriteError"]
      })
      const away = yield* ask
      expect([away.status, away.headers.get("retry-after")]).toEqual([503, "1"])
      expect(away.body).toMatchObject({ type: "urn:twinbox:problem:unavailable" })
      expect((yield* ask).status).toBe(200)
    })
  )

  it.scopedLive("messages of a request carry its id, from either store", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      const body = { name: "cc Inc", address: "cahce 37" }
      yield* api.call("POST", "/v1/customer", { body, headers: { "x-request-id": "mine-1" } })
      const headers = yield* Effect.promise(() =>
        api.db
          .collection("outbox")
          .find({ key: { $ne: "" } })
          .map(({ headers }) => headers as Record<string, string>)
          .toArray()
      )
      expect(headers.length).toBeGreaterThan(0)
      for (const found of headers) expect(found).toMatchObject({ request_id: "mine-1" })
      yield* api.call("POST", "/v2/customer", { body, headers: { "x-request-id": "mine-2" } })
      const [log] = yield* Effect.orDie(
        redisCommands(api.redisUrl, [["XRANGE", "writes:{customer_v2}", "-", "+"]])
      )
      expect(JSON.stringify(log)).toContain(String.raw`\"request_id\":\"mine-2\"`)
    })
  )
})
