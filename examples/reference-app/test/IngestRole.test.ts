import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Schedule } from "effect"
import { failNext } from "../../../packages/mongodb/test/testDatabase.ts"
import { SessionClient, trackMessage } from "../../../test/setup/sessionClient.ts"
import { exchange, get, openConnection } from "./httpClient.ts"
import { startIngest } from "./ingestServer.ts"
import { fullExample, shortExample } from "../src/CustomerBody.ts"

const timestamp = "2026-05-01T12:00:00Z"

const identify = (messageId: string, userId: string, traits: unknown) => ({
  type: "identify",
  messageId,
  timestamp,
  userId,
  traits
})

const ids = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, at) => `m${at}`)

/** Server error code that drivers try again: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const interruptedAtShutdown = 11_600
/** One by which the driver does not take the server for lost: it would wait for the next heartbeat, up to ten seconds. */
const interrupted = 11_601

/** Waits for a line. */
const logged = (logs: ReadonlyArray<string>, pattern: RegExp) =>
  Effect.repeat(
    Effect.delay(
      Effect.sync(() => logs.some((line) => pattern.test(line))),
      "10 millis"
    ),
    { until: (isThere) => isThere }
  )

const closedWith = (client: SessionClient) => Effect.promise(() => client.closed)

describe("Messages of a session", () => {
  it.scopedLive("are acknowledged when they are saved, with the id of the request on message and log", () =>
    Effect.gen(function* () {
      const { events, logs, open } = yield* startIngest()
      const client = yield* open("s1")
      client.send(trackMessage("m1", { value: 3 }))
      client.send({
        type: "page",
        messageId: "m2",
        timestamp,
        name: "Home",
        userId: null,
        context: { ip: "1.2.3.4" }
      })
      const replies = yield* Effect.promise(() => client.received(2))
      expect(replies).toEqual([
        { type: "ack", messageId: "m1", requestId: expect.any(String) },
        { type: "ack", messageId: "m2", requestId: expect.any(String) }
      ])
      const found = yield* events("s1")
      expect(found.map(({ payload }) => payload)).toEqual([
        {
          messageId: "m1",
          sessionId: "s1",
          requestId: replies[0]?.requestId,
          type: "track",
          event: "Product Viewed",
          properties: { value: 3 },
          timestamp: "2026-05-01T12:00:00.000Z",
          receivedAt: expect.any(String)
        },
        expect.objectContaining({ messageId: "m2", type: "page", name: "Home" })
      ])
      expect(JSON.stringify(found)).not.toContain("1.2.3.4")
      expect(found[0]?.headers).toMatchObject({
        session_id: "s1",
        request_id: replies[0]?.requestId,
        traceparent: expect.any(String)
      })
      const answered = logs.filter((line) => line.includes("message answered"))
      expect(answered).toHaveLength(2)
      for (const [at, line] of answered.entries()) {
        expect(line).toContain(`request_id=${replies[at]?.requestId}`)
        expect(line).toContain("session_id=s1")
      }
    })
  )

  it.scopedLive("are saved once, however often they come", () =>
    Effect.gen(function* () {
      const { events, open } = yield* startIngest()
      const client = yield* open("s1")
      for (const id of ["a", "a", "b", "a"]) client.send(trackMessage(id))
      expect(
        (yield* Effect.promise(() => client.received(4))).map(({ messageId, type }) => [type, messageId])
      ).toEqual([
        ["ack", "a"],
        ["ack", "a"],
        ["ack", "b"],
        ["ack", "a"]
      ])
      const other = yield* open("s1")
      other.send(trackMessage("b"))
      yield* Effect.promise(() => other.received(1))
      expect((yield* events("s1")).map(({ payload }) => payload["messageId"])).toEqual(["a", "b"])
      // Ids are those of a session.
      const elsewhere = yield* open("s2")
      elsewhere.send(trackMessage("b"))
      yield* Effect.promise(() => elsewhere.received(1))
      expect(yield* events("s2")).toHaveLength(1)
    })
  )

  it.scopedLive("keep their order, from several sockets, too: each one's own", () =>
    Effect.gen(function* () {
      const { events, open } = yield* startIngest()
      const clients = [yield* open("s1"), yield* open("s1")]
      const names = ids(60)
      for (const name of names) clients.forEach((client, at) => client.send(trackMessage(`${at}.${name}`)))
      for (const [at, client] of clients.entries()) {
        const replies = yield* Effect.promise(() => client.received(names.length))
        expect(replies.map(({ messageId }) => messageId)).toEqual(names.map((name) => `${at}.${name}`))
      }
      const saved = (yield* events("s1")).map(({ payload }) => String(payload["messageId"]))
      expect(saved).toHaveLength(2 * names.length)
      for (const at of [0, 1]) {
        expect(saved.filter((id) => id.startsWith(`${at}.`))).toEqual(names.map((name) => `${at}.${name}`))
      }
    })
  )

  it.scopedLive("of type identify make and replace a customer, in one with the event", () =>
    Effect.gen(function* () {
      const { customers, db, events, logs, open } = yield* startIngest()
      const client = yield* open("s1")
      const { createdAt: _createdAt, ...undated } = fullExample
      client.send(identify("m1", "ada", fullExample))
      client.send(identify("m2", "ada", { ...undated, lastName: "Lovelace" }))
      client.send(identify("m3", "cc", shortExample))
      client.send(identify("m4", "ada", { ...fullExample, email: "none" }))
      const replies = yield* Effect.promise(() => client.received(4))
      expect(replies.map(({ type }) => type)).toEqual(["ack", "ack", "ack", "error"])
      expect(replies[3]).toEqual({
        type: "error",
        code: "invalid_message",
        message: "traits.email must be an e-mail address",
        messageId: "m4"
      })
      expect(yield* customers.get("ada")).toMatchObject({
        value: { lastName: "Lovelace", version: 2, createdAt: new Date(fullExample.createdAt) }
      })
      expect(yield* customers.twins.get("ada")).toMatchObject({ value: { version: 2 } })
      expect(yield* customers.get("cc")).toMatchObject({ value: shortExample })
      const found = yield* events("s1")
      expect(found.map(({ payload }) => payload["type"])).toEqual(["identify", "identify", "identify"])
      expect(JSON.stringify([found, logs])).not.toMatch(/ada@example|Lovelace|St James/)
      const written = yield* Effect.promise(() =>
        db.collection("outbox").find({ key: "customer/ada" }).toArray()
      )
      expect(written[0]?.["headers"]).toMatchObject({ session_id: "s1", request_id: replies[0]?.requestId })
    })
  )

  it.scopedLive("that cannot be saved just now end the socket, so that nothing overtakes them", () =>
    Effect.gen(function* () {
      const { database, events, logs, open } = yield* startIngest()
      const first = yield* open("s1")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* failNext(database, 1_000_000, { failCommands: ["insert"], errorCode: interruptedAtShutdown })
          for (const id of ["a", "b", "c"]) first.send(trackMessage(id))
          expect(yield* closedWith(first)).toEqual({ code: 1013, reason: "try again later" })
        })
      )
      expect(first.replies).toEqual([
        { type: "error", code: "unavailable", messageId: "a", message: expect.stringMatching(/again/) }
      ])
      yield* logged(logs, /level=WARN .*not saved.*session_id=s1/)
      const second = yield* open("s1")
      for (const id of ["a", "b", "c"]) second.send(trackMessage(id))
      const replies = yield* Effect.promise(() => second.received(3))
      expect(replies.map(({ messageId, type }) => [type, messageId])).toEqual([
        ["ack", "a"],
        ["ack", "b"],
        ["ack", "c"]
      ])
      expect((yield* events("s1")).map(({ payload }) => payload["messageId"])).toEqual(["a", "b", "c"])
    })
  )

  it.scopedLive("are saved, and once, when the database stumbles", () =>
    Effect.gen(function* () {
      const { database, events, open } = yield* startIngest()
      const client = yield* open("s1")
      yield* failNext(database, 5, {
        failCommands: ["insert", "commitTransaction"],
        errorCode: interrupted
      })
      for (const id of ["a", "b", "c"]) client.send(trackMessage(id))
      const replies = yield* Effect.promise(() => client.received(3))
      expect(replies.map(({ type }) => type)).toEqual(["ack", "ack", "ack"])
      expect((yield* events("s1")).map(({ payload }) => payload["messageId"])).toEqual(["a", "b", "c"])
    })
  )

  it.scopedLive("that are none are refused in words without values, and the socket lives on", () =>
    Effect.gen(function* () {
      const { events, logs, open } = yield* startIngest()
      const client = yield* open("s1")
      const secret = "ada@example.com"
      const bad: ReadonlyArray<readonly [unknown, string, string | null, RegExp]> = [
        [new Uint8Array([1, 2, 3]), "not_text", null, /text frames/],
        [`{"a":${secret}`, "invalid_json", null, /JSON/],
        ["[".repeat(30_000), "invalid_json", null, /JSON/],
        [`${"[".repeat(30_000)}${"]".repeat(30_000)}`, "invalid_json", null, /levels/],
        ["7", "invalid_message", null, /object/],
        ["null", "invalid_message", null, /object/],
        [{ type: secret, messageId: "m" }, "invalid_message", "m", /^type must be one of/],
        [{ ...trackMessage("m"), messageId: secret }, "invalid_message", null, /^messageId must have/],
        [{ ...trackMessage("m"), event: "" }, "invalid_message", "m", /^event must have 1/],
        [
          { ...trackMessage("m"), timestamp: "2026-02-30T12:00:00Z" },
          "invalid_message",
          "m",
          /^timestamp must/
        ],
        [
          { ...trackMessage("m"), properties: [secret] },
          "invalid_message",
          "m",
          /^properties must be an object/
        ],
        [
          `{"type":"track","messageId":"m","timestamp":"${timestamp}","event":"e","properties":{"__proto__":{}}}`,
          "invalid_message",
          "m",
          /^properties must/
        ],
        [{ type: "identify", messageId: "m", timestamp }, "invalid_message", "m", /^userId is missing/],
        [identify("m", "u", { name: 5, [secret]: 1 }), "invalid_message", "m", /traits/],
        [identify("m", "u", null), "invalid_message", "m", /traits/]
      ]
      for (const [message] of bad) client.send(message)
      client.send(trackMessage("good"))
      const replies = yield* Effect.promise(() => client.received(bad.length + 1))
      for (const [at, [, code, messageId, words]] of bad.entries()) {
        expect([at, replies[at]]).toEqual([
          at,
          { type: "error", code, messageId, message: expect.stringMatching(words) }
        ])
      }
      expect(replies.at(-1)).toMatchObject({ type: "ack", messageId: "good" })
      expect(JSON.stringify([replies, logs])).not.toContain(secret)
      expect(yield* events("s1")).toHaveLength(1)
    })
  )
})

const handshake = (target: string, headers: ReadonlyArray<string> = [], host = "127.0.0.1") =>
  [
    `GET ${target} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ...headers,
    "\r\n"
  ].join("\r\n")

/** The status and the problem of a handshake that is refused. */
const refusalOf = (port: number, text: string) =>
  Effect.map(exchange(port, text), (answer) => {
    const [head = "", body = ""] = answer.split("\r\n\r\n")
    return {
      status: Number(head.split(" ")[1]),
      head,
      problem: JSON.parse(body) as Readonly<Record<string, unknown>>
    }
  })

/** The first line of an answer, of a connection that stays open. */
const statusOf = (port: number, text: string) =>
  Effect.scoped(
    Effect.flatMap(openConnection(port, text), (socket) =>
      Effect.async<string>((resume) => {
        socket.once("data", (chunk: Buffer) => resume(Effect.succeed(chunk.toString())))
      })
    )
  )

describe("The door", () => {
  it.scopedLive("lets in who names a session, and tells the others what is wrong", () =>
    Effect.gen(function* () {
      const { port } = yield* startIngest()
      for (const session of ["s", "A-z_0.9:", "x".repeat(128)]) {
        expect(yield* statusOf(port, handshake(`/websocket?session_id=${session}`))).toMatch(/^HTTP\/1.1 101/)
      }
      for (const query of [
        "",
        "?session_id=",
        "?session_id=a%20b",
        `?session_id=${"x".repeat(129)}`,
        "?session_id=a&session_id=b"
      ]) {
        const { head, problem, status } = yield* refusalOf(port, handshake(`/websocket${query}`))
        expect([query, status, problem["type"]]).toEqual([query, 400, "urn:twinbox:problem:invalid-request"])
        expect(head).toContain("content-type: application/problem+json")
        expect(problem["errors"]).toEqual([
          { path: "session_id", problem: expect.stringContaining("must be given once") }
        ])
      }
      const noKey = handshake("/websocket?session_id=s").replace(/Sec-WebSocket-Key: .*\r\n/, "")
      expect((yield* refusalOf(port, noKey)).status).toBe(400)
      expect((yield* get(`http://127.0.0.1:${port}/websocket?session_id=s`)).status).toBe(404)
    })
  )

  it.scopedLive("of an open API is shut for web pages of others", () =>
    Effect.gen(function* () {
      const { port } = yield* startIngest()
      const target = "/websocket?session_id=s"
      for (const [host, origin, isLetIn] of [
        [`127.0.0.1:${port}`, `http://127.0.0.1:${port}`, true],
        [`localhost:${port}`, `http://localhost:${port}`, true],
        [`127.0.0.1:${port}`, "https://evil.example", false],
        [`127.0.0.1:${port}`, "null", false],
        ["evil.example", "http://evil.example", false]
      ] as const) {
        const text = handshake(target, [`Origin: ${origin}`], host)
        if (isLetIn) expect(yield* statusOf(port, text)).toMatch(/^HTTP\/1.1 101/)
        else expect([origin, (yield* refusalOf(port, text)).status]).toEqual([origin, 403])
      }
    })
  )

  it.scopedLive("with API_TOKENS needs one that may write customers, as a header or as a subprotocol", () =>
    Effect.gen(function* () {
      const tokens = JSON.stringify({
        "writer-0123456789": { user: "ann", permissions: ["customers:write"] },
        "reader-0123456789": { user: "bob", permissions: ["customers:read", "admin"] }
      })
      const { base, logs, port } = yield* startIngest({ tokens })
      const target = "/websocket?session_id=s"
      const bearer = (token: string) => [`Authorization: Bearer ${token}`]
      const offered = (token: string) => [`Sec-WebSocket-Protocol: bearer, ${token}`]
      expect(yield* statusOf(port, handshake(target, bearer("writer-0123456789")))).toMatch(/^HTTP\/1.1 101/)
      const answer = yield* statusOf(
        port,
        handshake(target, [...offered("writer-0123456789"), "Origin: https://a.example"], "a.example")
      )
      expect(answer).toMatch(/^HTTP\/1.1 101/)
      // The token itself is not sent back.
      expect(answer).toMatch(/Sec-WebSocket-Protocol: bearer\r\n/)
      for (const headers of [[], bearer("nobody-0123456789"), offered("nobody-0123456789")]) {
        expect((yield* refusalOf(port, handshake(target, headers))).status).toBe(401)
      }
      for (const headers of [bearer("reader-0123456789"), offered("reader-0123456789")]) {
        expect((yield* refusalOf(port, handshake(target, headers))).status).toBe(403)
      }
      const client = new SessionClient(`${base}${target}`, ["bearer", "writer-0123456789"])
      yield* Effect.promise(() => client.opened)
      expect(logs.join("\n")).not.toContain("0123456789")
    })
  )

  it.scopedLive("lets in so many at once, in all and of one address", () =>
    Effect.gen(function* () {
      for (const ingest of [{ connections: 2 }, { connectionsPerAddress: 2 }]) {
        const { open, port } = yield* startIngest({ ingest })
        const target = handshake("/websocket?session_id=s")
        const first = yield* open("a")
        yield* open("b")
        expect((yield* get(`http://127.0.0.1:${port}/metrics`)).text).toMatch(/^twinbox_ingest_sockets 2$/m)
        const { head, status } = yield* refusalOf(port, target)
        expect([status, head]).toEqual([503, expect.stringContaining("retry-after: 1")])
        first.close()
        yield* Effect.promise(() => first.closed)
        const again = Effect.map(statusOf(port, target), (answer) => answer.startsWith("HTTP/1.1 101"))
        yield* Effect.repeat(again, { until: (isLetIn) => isLetIn, schedule: Schedule.spaced("20 millis") })
      }
    })
  )
})

/** A frame of a client: https://www.rfc-editor.org/rfc/rfc6455#section-5.2, masked with zeros. */
const frame = (opcode: number, payload: Buffer): Buffer => {
  const { length } = payload
  const head =
    length < 126
      ? Buffer.from([0x80 | opcode, 0x80 | length])
      : Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | 127]), Buffer.alloc(8)])
  if (length >= 126) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, Buffer.alloc(4), payload])
}

/** A connection that has become a WebSocket and reads nothing by itself. */
const rawSocket = (port: number, sessionId: string) =>
  Effect.acquireRelease(
    Effect.async<ReturnType<typeof connect>>((resume) => {
      const socket = connect(port, "127.0.0.1", () =>
        socket.write(handshake(`/websocket?session_id=${sessionId}`))
      )
      socket.once("data", () => {
        socket.pause()
        resume(Effect.succeed(socket))
      })
      socket.on("error", () => undefined)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

describe("Limits", () => {
  it.scopedLive("close a socket whose message is too large, with 1009, and no other", () =>
    Effect.gen(function* () {
      const { open } = yield* startIngest()
      const other = yield* open("other")
      for (const bytes of [64 * 1024 + 1, 10_000_000]) {
        const client = yield* open("large")
        client.send("x".repeat(bytes))
        expect((yield* closedWith(client)).code).toBe(1009)
      }
      const fits = yield* open("fits")
      const message = JSON.stringify(trackMessage("m1", { text: "" }))
      fits.send(message.replace('""', `"${"x".repeat(64 * 1024 - Buffer.byteLength(message))}"`))
      expect(yield* Effect.promise(() => fits.received(1))).toMatchObject([{ type: "ack" }])
      other.send(trackMessage("m1"))
      expect(yield* Effect.promise(() => other.received(1))).toMatchObject([{ type: "ack" }])
    })
  )

  it.scopedLive("tell a session that sends too much, and close it with 1008; what came before is saved", () =>
    Effect.gen(function* () {
      const { events, open } = yield* startIngest({ ingest: { rate: 5 } })
      const client = yield* open("s1")
      const calm = yield* open("s2")
      for (const id of ids(200)) client.send(trackMessage(id))
      calm.send(trackMessage("m"))
      expect(yield* closedWith(client)).toEqual({ code: 1008, reason: "too many messages" })
      const acks = client.replies.filter(({ type }) => type === "ack").map(({ messageId }) => messageId)
      expect(client.replies.at(-1)).toMatchObject({ type: "error", code: "rate_limited", messageId: null })
      expect(client.replies).toHaveLength(acks.length + 1)
      expect(acks.length).toBeGreaterThanOrEqual(10)
      expect(acks.length).toBeLessThan(200)
      expect((yield* events("s1")).map(({ payload }) => payload["messageId"])).toEqual(acks)
      expect(acks).toEqual(ids(acks.length))
      expect(yield* Effect.promise(() => calm.received(1))).toMatchObject([{ type: "ack" }])
    })
  )

  it.scopedLive("count all sessions of an address together, and pings, too", () =>
    Effect.gen(function* () {
      const { logs, open, port } = yield* startIngest({ ingest: { ratePerAddress: 5 } })
      const clients = yield* Effect.forEach(ids(4), (id) => open(id))
      for (const id of ids(20)) for (const client of clients) client.send(trackMessage(id))
      for (const client of clients) expect((yield* closedWith(client)).code).toBe(1008)
      const socket = yield* rawSocket(port, "pings")
      const closed = new Promise((resolve) => socket.once("close", resolve))
      socket.resume()
      // Fewer than what a WebSocket may have unanswered, again and again.
      const pings = Buffer.concat(Array.from({ length: 30 }, () => frame(0x9, Buffer.alloc(0))))
      while (!socket.destroyed) {
        socket.write(pings)
        yield* Effect.sleep("20 millis")
      }
      yield* Effect.promise(() => closed)
      yield* logged(logs, /rate limited.*session_id=pings/)
    })
  )

  it.scopedLive("cut a client that does not read its answers", () =>
    Effect.gen(function* () {
      const { logs, open, port } = yield* startIngest({ ingest: { rate: 100_000, ratePerAddress: 100_000 } })
      const socket = yield* rawSocket(port, "deaf")
      const closed = new Promise((resolve) => socket.once("close", resolve))
      // Refusals that name what is wrong are the longest answers.
      const names = ids(5).map((id) => id.padEnd(64, "x"))
      const traits = Object.fromEntries([["name", "n"], ["address", "a"], ...names.map((name) => [name, 1])])
      const bad = Buffer.from(JSON.stringify(identify("m", "u", traits)))
      const flood = Buffer.concat(Array.from({ length: 1_000 }, () => frame(0x1, bad)))
      const hasEnded = () => logs.some((line) => line.includes("slow reader"))
      while (!hasEnded() && !socket.destroyed) {
        socket.write(flood)
        yield* Effect.sleep("50 millis")
      }
      expect(hasEnded()).toBe(true)
      socket.resume()
      yield* Effect.promise(() => closed)
      const other = yield* open("other")
      other.send(trackMessage("m"))
      expect(yield* Effect.promise(() => other.received(1))).toMatchObject([{ type: "ack" }])
    })
  )

  it.scopedLive("cut who answers no pings, and keep who does", () =>
    Effect.gen(function* () {
      const { logs, open, port } = yield* startIngest({ ingest: { pingMillis: 300 } })
      const alive = yield* open("alive")
      const silent = yield* rawSocket(port, "silent")
      const closed = new Promise((resolve) => silent.once("close", resolve))
      silent.resume()
      yield* Effect.promise(() => closed)
      yield* logged(logs, /silent.*session_id=silent/)
      alive.send(trackMessage("m"))
      expect(yield* Effect.promise(() => alive.received(1))).toMatchObject([{ type: "ack" }])
    })
  )

  it.scopedLive("keep a flood of one session from delaying others", () =>
    Effect.gen(function* () {
      const { open } = yield* startIngest({ ingest: { rate: 1_000, ratePerAddress: 10_000 } })
      const calm = yield* open("calm")
      const latency = Effect.gen(function* () {
        const took: Array<number> = []
        for (let at = 0; at < 20; at++) {
          calm.send(trackMessage(`${performance.now()}`))
          const count = calm.replies.length + 1
          const [one] = yield* Effect.timed(Effect.promise(() => calm.received(count)))
          took.push(Duration.toMillis(one))
        }
        return took.toSorted((a, b) => a - b)[10] ?? 0
      })
      yield* latency
      const quiet = yield* latency
      const flooding = yield* open("flood")
      for (const id of ids(5_000)) flooding.send(trackMessage(id))
      const during = yield* latency
      process.stdout.write(
        `median of one message: ${quiet.toFixed(1)} ms alone, ${during.toFixed(1)} ms beside a flood\n`
      )
      // A queue that all share would hold each message up behind thousands of others: seconds.
      expect(during).toBeLessThan(500 + 10 * quiet)
    })
  )
})

describe("A stop", () => {
  it.scopedLive("takes nothing new, answers what is under way and says good-bye with 1001", () =>
    Effect.gen(function* () {
      const { events, open, port, stop } = yield* startIngest()
      const client = yield* open("s1")
      const idle = yield* open("s2")
      for (const id of ids(20)) client.send(trackMessage(id))
      yield* Effect.promise(() => client.received(1))
      const [took] = yield* Effect.timed(stop)
      expect(Duration.toMillis(took)).toBeLessThan(10_000)
      expect((yield* closedWith(client)).code).toBe(1001)
      expect((yield* closedWith(idle)).code).toBe(1001)
      const acks = client.replies.map(({ messageId }) => messageId)
      expect(acks).toEqual(ids(acks.length))
      expect((yield* events("s1")).map(({ payload }) => payload["messageId"])).toEqual(acks)
      yield* Effect.flip(Effect.tryPromise(() => fetch(`http://127.0.0.1:${port}/healthz`)))
    })
  )

  it.scopedLive("turns away who comes after the signal", () =>
    Effect.gen(function* () {
      const { open, port, signal } = yield* startIngest()
      const client = yield* open("s1")
      yield* signal
      expect((yield* closedWith(client)).code).toBe(1001)
      const { head, status } = yield* refusalOf(port, handshake("/websocket?session_id=s"))
      expect([status, head]).toEqual([503, expect.stringContaining("retry-after")])
      expect((yield* get(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
    })
  )
})
