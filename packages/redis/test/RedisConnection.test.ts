import { createServer } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { RedisConnection } from "@twinbox/redis"
import { ConfigProvider, Duration, Effect, Layer, Schedule } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import { ask, connect, ownRedis } from "./testParts.ts"

const password = "pa55-w0rd-nobody-may-see"

/** Everything that could be printed of an error. */
const printed = (error: unknown) =>
  [String(error), JSON.stringify(error), error instanceof Error ? `${error.stack}${error.message}` : ""].join(
    "\n"
  )

/** Nobody listens here. */
const closedPort = Effect.async<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() =>
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 1))
    )
  })
})

/** A server that answers every command with what `answer` says; nothing, if it says nothing. */
const fakeRedis = (answer: () => string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const server = createServer((socket) => {
          socket.on("error", () => socket.destroy())
          socket.on("data", () => socket.write(answer()))
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => {
      const address = server.address()
      return `redis://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 1}`
    }
  )

describe("a start", () => {
  it.scopedLive("connects and answers, in the database of the URL", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const redis = yield* connect(url)
      yield* redis.command(["SET", "key", "value"])
      expect(yield* ask(url, "GET", "key")).toBe("value")
      expect(yield* redis.command(["HMGET", "none", "a", "b"])).toEqual([null, null])
      expect(yield* redis.connected).toBe(true)
    })
  )

  it.scopedLive("reads REDIS_URL", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const layer = RedisConnection.layerConfig.pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["REDIS_URL", url]]))))
      )
      const redis = yield* Effect.provide(RedisConnection.RedisConnection, layer)
      expect(url).toContain(redis.server)
    })
  )

  it.scopedLive("refused credentials fail at once, and show nowhere", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      yield* ask(server.uri, "ACL", "SETUSER", "reader", "on", ">right", "allcommands", "allkeys")
      const host = server.uri.slice("redis://".length)
      const wrong = `redis://reader:${password}@${host}`
      const [took, error] = yield* Effect.timed(Effect.flip(connect(wrong, { connectWithin: "30 seconds" })))
      expect(error).toMatchObject({ reason: "AuthenticationFailed", retryable: false })
      expect(Duration.toMillis(took)).toBeLessThan(2000)
      expect(printed(error)).not.toContain(password)
      expect(error.message).toContain(host)
      expect(yield* (yield* connect(`redis://reader:right@${host}`)).command(["PING"])).toBe("PONG")

      // A password where none is wanted, and none where one is wanted.
      const needless = yield* Effect.flip(connect(`redis://:${password}@${host}`))
      expect(needless.reason).toBe("AuthenticationFailed")
      expect(printed(needless)).not.toContain(password)
      yield* ask(server.uri, "ACL", "SETUSER", "default", "resetpass", ">other")
      expect((yield* Effect.flip(connect(server.uri))).reason).toBe("AuthenticationFailed")
    })
  )

  it.scopedLive("a server that nobody started fails when the time is over, without credentials", () =>
    Effect.gen(function* () {
      const url = `redis://user:${password}@127.0.0.1:${yield* closedPort}`
      const [took, error] = yield* Effect.timed(Effect.flip(connect(url, { connectWithin: "400 millis" })))
      expect(error).toMatchObject({ reason: "Unavailable", retryable: true, detail: "ECONNREFUSED" })
      expect(Duration.toMillis(took)).toBeGreaterThanOrEqual(390)
      expect(Duration.toMillis(took)).toBeLessThan(2000)
      expect(printed(error)).not.toContain(password)
    })
  )

  it.scopedLive("a server that takes the connection and says nothing fails when the time is over", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(connect(yield* fakeRedis(() => ""), { connectWithin: "300 millis" }))
      expect(error.reason).toBe("Unavailable")
    })
  )

  it.scopedLive("a server that is still loading its data is waited for", () =>
    Effect.gen(function* () {
      let asked = 0
      const url = yield* fakeRedis(() =>
        ++asked < 3 ? "-LOADING Redis is loading the dataset in memory\r\n" : "+PONG\r\n"
      )
      const redis = yield* connect(url)
      expect(yield* redis.command(["PING"])).toBe("PONG")
      const loading = yield* fakeRedis(() => "-LOADING Redis is loading the dataset in memory\r\n")
      const error = yield* Effect.flip(connect(loading, { connectWithin: "300 millis" }))
      expect(error).toMatchObject({ reason: "NotReady", retryable: true, detail: "LOADING" })
    })
  )

  it.scopedLive("a malformed URL fails at once, and shows nowhere", () =>
    Effect.forEach(
      [`http://user:${password}@host`, `redis://user:${password}@host:port`, password, ""],
      (url) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(connect(url, { connectWithin: "30 seconds" }))
          expect(error).toMatchObject({ reason: "Refused", retryable: false })
          expect(error.message).toContain("malformed")
          expect(printed(error)).not.toContain(password)
        })
    )
  )
})

describe("a connection", () => {
  it.scopedLive("gives one reply or error for each command, in their order", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const redis = yield* connect(url)
      const replies = yield* redis.pipeline([
        ["SET", "text", "secret"],
        ["HGET", "text", "field"],
        ["NOSUCHCOMMAND", "secret"],
        ["EVALSHA", "0".repeat(40), "0"],
        ["GET", "text"]
      ])
      expect(replies).toMatchObject([
        { right: "OK" },
        { left: { reason: "WrongType", detail: "WRONGTYPE" } },
        { left: { reason: "Refused", detail: "ERR" } },
        { left: { reason: "Refused", detail: "NOSCRIPT" } },
        { right: "secret" }
      ])
      expect(printed(replies[2])).not.toContain("secret")
      expect(yield* redis.pipeline([])).toEqual([])
    })
  )

  it.scopedLive("is made anew by itself, and meanwhile calls fail at once", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const redis = yield* connect(server.uri)
      yield* server.stop
      const [took, error] = yield* Effect.timed(Effect.flip(redis.command(["PING"])))
      expect(error.reason).toBe("Unavailable")
      expect(Duration.toMillis(took)).toBeLessThan(200)
      expect(yield* redis.connected).toBe(false)
      yield* server.start
      const again = redis
        .command(["PING"])
        .pipe(Effect.retry(Schedule.spaced("20 millis")), Effect.timeout("5 seconds"))
      expect(yield* again).toBe("PONG")
      expect(yield* redis.connected).toBe(true)
    })
  )

  it.scopedLive("a call under way when Redis dies fails, and does not hang", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const redis = yield* connect(server.uri, { replyWithin: "20 seconds" })
      const blocked = yield* Effect.fork(Effect.flip(redis.command(["BLPOP", "nothing", "0"])))
      yield* Effect.sleep("100 millis")
      yield* server.kill("SIGKILL")
      const [took, error] = yield* Effect.timed(blocked)
      expect(error.reason).toBe("Unavailable")
      expect(Duration.toMillis(took)).toBeLessThan(1000)
    })
  )

  it.scopedLive("leaves no client behind when its scope ends, whatever is under way", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const clients = Effect.map(
        ask(server.uri, "CLIENT", "LIST"),
        (list) => String(list).trim().split("\n").length
      )
      const before = yield* clients
      const use = Effect.gen(function* () {
        const redis = yield* connect(server.uri, { replyWithin: "1 minute" })
        yield* Effect.forkDaemon(redis.command(["BLPOP", "nothing", "0"]))
        yield* Effect.sleep("50 millis")
        expect(yield* clients).toBe(before + 1)
      })
      const [took] = yield* Effect.timed(Effect.scoped(use))
      expect(Duration.toMillis(took)).toBeLessThan(3000)
      const after = clients.pipe(
        Effect.delay("20 millis"),
        Effect.repeat({ until: (count) => count === before, times: 20 })
      )
      expect(yield* after).toBe(before)
    })
  )
})
