import { connect } from "node:net"
import { request as httpRequest } from "node:http"
import { describe, expect, it, layer } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { failNext } from "../../../packages/mongodb/test/testDatabase.ts"
import * as TcpProxy from "../../../test/setup/TcpProxy.ts"
import { testRedis } from "../../../test/setup/testServers.ts"
import { Unready } from "../src/Readiness.ts"
import * as RequestLimits from "../src/RequestLimits.ts"
import { type Api, type Reply, SharedApi, sharedApi, startApi } from "./apiServer.ts"
import { exchange } from "./httpClient.ts"
import { full, short } from "./sampleCustomers.ts"

const uidOf = ({ body }: Reply): string => (body as { readonly uid: string }).uid

const expectProblem = (reply: Reply, status: number, kind: string): void => {
  expect([reply.status, reply.headers.get("content-type")]).toEqual([status, "application/problem+json"])
  expect(reply.body).toMatchObject({ status, type: `urn:twinbox:problem:${kind}` })
}

/** Looks again and again until it is so. */
const until = <A>(look: Effect.Effect<A>, isSo: (found: A) => boolean) =>
  Effect.repeat(Effect.delay(look, "20 millis"), { until: isSo }).pipe(Effect.timeout("20 seconds"))

const customers = ({ db }: Api) => Effect.promise(() => db.collection("customers").countDocuments())

/** Longer than the tests' limits, and shorter than their patience. */
const commitMillis = 2_000

/** The next transaction takes long to commit, but does. */
const slowCommit = ({ database }: Api) =>
  failNext(database, 1, {
    failCommands: ["commitTransaction"],
    blockConnection: true,
    blockTimeMS: commitMillis
  })

/** Waits until a transaction is open. */
const untilWriting = ({ database: { client, db } }: Api) =>
  until(
    Effect.promise(() =>
      client
        .db("admin")
        .aggregate([
          { $currentOp: { idleSessions: true } },
          { $match: { appName: db.databaseName, transaction: { $exists: true } } }
        ])
        .toArray()
    ),
    (found) => found.length > 0
  )

layer(sharedApi(), { excludeTestServices: true })("Every answer", (it) => {
  it.effect(
    "request ids are those of the client, if well-formed, else new, on every answer and log line",
    () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        for (const path of [
          "/v1/customers",
          "/v1/customer/none",
          "/nowhere",
          "/healthz",
          "/v1/customers?limit=0"
        ]) {
          const id = `id-${path.length}.A_z`
          const reply = yield* api.call("GET", path, { headers: { "x-request-id": id } })
          expect([path, reply.headers.get("x-request-id")]).toEqual([path, id])
          expect(api.logs.at(-1)).toContain(`request_id=${id}`)
        }
        const given = ["", "a b", "a".repeat(65), "ü", "a\tb", "a/b"]
        const ids = yield* Effect.forEach(["none", ...given], (id) =>
          Effect.map(
            api.call("GET", "/healthz", id === "none" ? {} : { headers: { "x-request-id": id } }),
            ({ headers }) => headers.get("x-request-id") ?? ""
          )
        )
        for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/)
        expect(new Set(ids).size).toBe(ids.length)
      })
  )

  it.effect("paths and methods that are not there are 404, and 405 with what there is", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      for (const [method, path, allow] of [
        ["GET", "/v1/customer", "POST"],
        ["POST", "/v1/customer/7", "GET, HEAD, PUT, PATCH, DELETE"],
        ["DELETE", "/v2/customers", "GET, HEAD"],
        ["POST", "/openapi.json", "GET, HEAD"],
        ["PUT", "/metrics", "GET, HEAD"]
      ] as const) {
        const reply = yield* api.call(method, path)
        expectProblem(reply, 405, "method-not-allowed")
        expect([path, reply.headers.get("allow")]).toEqual([path, allow])
      }
      for (const path of ["/", "/v3/customers", "/V1/customers", "//v1/customers", "/v2/customers/7/twin"]) {
        expectProblem(yield* api.call("GET", path), 404, "no-such-route")
      }
      const head = yield* api.call("HEAD", "/v1/customers")
      expect([head.status, head.text]).toEqual([200, ""])
    })
  )

  it.effect("a body is refused while it still comes", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      const status = yield* Effect.async<number | undefined>((resume) => {
        const sent = httpRequest(`${api.base}/v1/customer`, {
          method: "POST",
          headers: { "content-type": "application/json", "transfer-encoding": "chunked" }
        })
        sent.on("response", (response) => resume(Effect.succeed(response.statusCode)))
        sent.on("error", () => undefined)
        // It never ends: whoever waits for that gets no answer.
        sent.write(Buffer.alloc(65 * 1024, "a"))
        return Effect.sync(() => sent.destroy())
      })
      expect(status).toBe(413)
    })
  )

  it.effect("a client that sends too much may read its answer, and go on with the connection", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      const length = 1024 * 1024
      const post = `POST /v1/customer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
      const next = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
      const answer = yield* exchange(api.port, `${post}${"x".repeat(length)}${next}`)
      expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413", "HTTP/1.1 200"])
    })
  )

  it.effect("what is no HTTP, or has very large headers, gets a problem, too", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      for (const [text, status, kind] of [
        ["GARBAGE\r\n\r\n", 400, "malformed-http"],
        ["GET / HTTP/1.1\r\n\r\n", 400, undefined],
        [
          `GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"a".repeat(20_000)}\r\n\r\n`,
          431,
          "headers-too-large"
        ]
      ] as const) {
        const answer = yield* exchange(api.port, text)
        expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
        if (kind === undefined) continue
        const [head = "", body = ""] = answer.split("\r\n\r\n")
        expect(head).toContain("content-type: application/problem+json")
        expect(JSON.parse(body)).toMatchObject({ status, type: `urn:twinbox:problem:${kind}` })
        expect(head).toContain(`x-request-id: ${(JSON.parse(body) as { requestId: string }).requestId}`)
      }
    })
  )
})

describe("Operations", () => {
  it.scopedLive("that tell of something bad are answered as they are, not as problems", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      yield* api.readiness.add("redis", new Unready({ reason: "it sleeps" }))
      const reply = yield* api.call("GET", "/readyz")
      expect([reply.status, reply.headers.get("content-type")]).toEqual([503, "application/json"])
      expect(reply.body).toEqual({
        status: "not ready",
        checks: { redis: { status: "failed", reason: "it sleeps" } }
      })
    })
  )
})

describe("The log", () => {
  it.scopedLive("has one line per request, with the pattern of its path and nothing personal", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      const uid = uidOf(yield* api.call("POST", "/v1/customer", { body: full }))
      api.logs.length = 0
      yield* api.call("GET", `/v1/customer/${uid}`)
      yield* api.call("GET", `/v1/customers?email=${full.email}`)
      yield* api.call("GET", `/nowhere/${full.email}`)
      yield* api.call("PUT", `/v2/customer/${uid}`, { body: full })
      const lines = api.logs.map((line) => /message=(\w+).*(status=.*)$/.exec(line)?.slice(1).join(" "))
      const ms = (pattern: RegExp): unknown => expect.stringMatching(pattern)
      expect(lines).toEqual([
        ms(/^answered status=200 method=GET ms=\d+ route=\/v1\/customer\/:uid$/),
        ms(/^answered status=200 method=GET ms=\d+ route=\/v1\/customers$/),
        ms(/^answered status=404 method=GET ms=\d+ route=unknown$/),
        ms(/^answered status=404 method=PUT ms=\d+ route=\/v2\/customer\/:uid$/)
      ])
      const all = api.logs.join()
      for (const text of [uid, full.email, full.lastName, "email"]) expect(all).not.toContain(text)
    })
  )

  it.scopedLive("tells of a fault of the program by its kind, under the id of the request", () =>
    Effect.gen(function* () {
      const secret = "Zq7Kp2Wv9Xb4"
      const broken = Layer.succeed(RequestLimits.RequestLimits, {
        run: () => Effect.die(new TypeError(secret)),
        close: Effect.void
      })
      const api = yield* startApi({ limits: broken })
      const reply = yield* api.call("POST", "/v1/customer", {
        body: short,
        headers: { "x-request-id": "mine" }
      })
      expectProblem(reply, 500, "internal")
      expect(reply.text).not.toMatch(/TypeError|stack|\.ts/)
      const [fault] = api.logs.filter((line) => line.includes("level=ERROR"))
      expect(fault).toMatch(/message="a request was not answered: TypeError" request_id=mine/)
      expect(reply.text + api.logs.join()).not.toContain(secret)
    })
  )

  it.scopedLive("tells of a stored document that is no customer, without its values", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      const foreign = { _id: "foreign" as never, firstName: "Zq7Kp2Wv9Xb4" }
      yield* Effect.promise(() => api.db.collection("customers").insertOne(foreign))
      expectProblem(yield* api.call("GET", "/v1/customer/foreign"), 500, "internal")
      expect(api.logs.join()).toMatch(/a request was not answered: stored document of 'customers' refused/)
      expect(api.logs.join()).not.toContain(foreign.firstName)
    })
  )
})

describe("Limits", () => {
  it.scopedLive("a request that takes too long is 503, and its write goes on", () =>
    Effect.gen(function* () {
      const api = yield* startApi({ limits: RequestLimits.layer({ within: "300 millis" }) })
      yield* slowCommit(api)
      const reply = yield* api.call("POST", "/v1/customer", { body: short })
      expectProblem(reply, 503, "timed-out")
      expect(reply.headers.get("retry-after")).toBe("1")
      yield* until(customers(api), (count) => count === 1)
    })
  )

  it.scopedLive("a client that goes away does not stop its write half-way", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      yield* failNext(api.database, 1, {
        failCommands: ["insert"],
        blockConnection: true,
        blockTimeMS: commitMillis
      })
      const body = JSON.stringify(short)
      const socket = connect(api.port, "127.0.0.1")
      socket.write(
        `POST /v1/customer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: mine\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      )
      yield* untilWriting(api)
      socket.destroy()
      yield* until(
        Effect.sync(() => api.logs),
        (lines) => lines.some((line) => line.includes("status=499"))
      )
      yield* until(customers(api), (count) => count === 1)
      expect((yield* api.stock).twins).toBe(1)
    })
  )

  it.scopedLive("one request more than may be under way is 503, and the operations are still answered", () =>
    Effect.gen(function* () {
      const api = yield* startApi({ limits: RequestLimits.layer({ concurrency: 1 }) })
      yield* slowCommit(api)
      const first = yield* Effect.fork(api.call("POST", "/v1/customer", { body: short }))
      yield* untilWriting(api)
      const refused = yield* api.call("GET", "/v1/customers")
      expectProblem(refused, 503, "busy")
      expect(refused.headers.get("retry-after")).toBe("1")
      expect((yield* api.call("GET", "/healthz")).status).toBe(200)
      expect((yield* Fiber.join(first)).status).toBe(201)
      expect((yield* api.call("GET", "/v1/customers")).status).toBe(200)
    })
  )

  it.scopedLive("a program that stops takes no more requests, but for the operations", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      yield* api.close
      expectProblem(yield* api.call("POST", "/v1/customer", { body: short }), 503, "unavailable")
      expect((yield* api.call("GET", "/healthz")).status).toBe(200)
      expect(yield* customers(api)).toBe(0)
    })
  )
})

/** https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const socketException = 9001

describe("A store that is away", () => {
  it.scopedLive("is 503 with Retry-After: MongoDB", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      yield* failNext(api.database, 1_000, {
        failCommands: ["find", "insert"],
        errorCode: socketException,
        errorLabels: ["RetryableWriteError"]
      })
      for (const [method, path, body] of [
        ["GET", "/v1/customer/7", undefined],
        ["GET", "/v1/customers", undefined],
        ["GET", "/v1/customers/7/twin", undefined],
        ["POST", "/v1/customer", short]
      ] as const) {
        const reply = yield* api.call(method, path, { body })
        expectProblem(reply, 503, "unavailable")
        expect([path, reply.headers.get("retry-after")]).toEqual([path, "1"])
      }
    })
  )

  it.scopedLive("is 503 with Retry-After: Redis, and v1 goes on", () =>
    Effect.gen(function* () {
      const redis = yield* testRedis
      const { hostname, pathname, port } = new URL(redis.url)
      const proxy = yield* TcpProxy.make({ target: Number(port), clientOf: () => "api" })
      const api = yield* startApi({ redisUrl: `redis://${hostname}:${proxy.port}${pathname}` })
      expect((yield* api.call("POST", "/v2/customer", { body: short })).status).toBe(201)
      yield* proxy.set("api", "cut")
      for (const [method, path, body, kind] of [
        ["GET", "/v2/customer/7", undefined, "unavailable"],
        ["GET", "/v2/customers", undefined, "unavailable"],
        ["GET", "/v2/refused", undefined, "unavailable"],
        ["POST", "/v2/customer", short, "outcome-unknown"]
      ] as const) {
        const reply = yield* api.call(method, path, { body })
        expectProblem(reply, 503, kind)
        expect([path, reply.headers.get("retry-after")]).toEqual([path, "1"])
      }
      expect((yield* api.call("POST", "/v1/customer", { body: short })).status).toBe(201)
    })
  )

  it.scopedLive("is 503 in a process without Redis, and v1 works", () =>
    Effect.gen(function* () {
      const api = yield* startApi({ redisUrl: null })
      for (const [method, path, body] of [
        ["GET", "/v2/customer/7", undefined],
        ["POST", "/v2/customer", short],
        ["PUT", "/v2/customer/7", short],
        ["PATCH", "/v2/customer/7", short],
        ["DELETE", "/v2/customer/7", undefined],
        ["GET", "/v2/customers", undefined],
        ["GET", "/v2/refused", undefined]
      ] as const) {
        const reply = yield* api.call(method, path, { body })
        expectProblem(reply, 503, "unavailable")
        expect(reply.body).toMatchObject({ detail: expect.stringContaining("without Redis") })
      }
      expect((yield* api.call("POST", "/v1/customer", { body: short })).status).toBe(201)
    })
  )
})
