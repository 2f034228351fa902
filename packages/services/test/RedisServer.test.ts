import { existsSync, readdirSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { redisCommands, RedisServer } from "@twinbox/services"
import { Effect, Either, Exit, Option, Scope } from "effect"
import { describe, expect } from "vitest"
import { killChild, signalGroup, startChild } from "./startChild.ts"
import { gone, isRunning, recorder, redisOptions, silent, temporaryFolder } from "./testOptions.ts"

const set = (uri: string, key: string, value: string) => redisCommands(uri, [["SET", key, value]])
const get = (uri: string, key: string) => Effect.map(redisCommands(uri, [["GET", key]]), ([reply]) => reply)

describe("a Redis of our own", () => {
  it.live("answers with its append-only file on, and is gone with its data after the scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const redis = yield* Scope.extend(RedisServer.start(yield* redisOptions), scope)
      const pid = Option.getOrThrow(yield* redis.pid)
      const [appendonly] = yield* redisCommands(redis.uri, [["CONFIG", "GET", "appendonly"]])
      expect(appendonly).toEqual(["appendonly", "yes"])
      const [folder] = yield* redisCommands(redis.uri, [["CONFIG", "GET", "dir"]])
      const dataFolder = Array.isArray(folder) ? String(folder[1]) : ""
      expect(existsSync(dataFolder)).toBe(true)
      yield* Scope.close(scope, Exit.void)
      expect(isRunning(pid)).toBe(false)
      expect(existsSync(dataFolder)).toBe(false)
    })
  )

  it.scopedLive("has its data and its port again at the next start", () =>
    Effect.gen(function* () {
      const dataFolder = yield* temporaryFolder
      const start = RedisServer.start({ ...(yield* redisOptions), dataFolder })
      const first = yield* Effect.scoped(Effect.tap(start, ({ uri }) => set(uri, "kept", "yes")))
      const again = yield* start
      expect(again.uri).toBe(first.uri)
      expect(yield* get(again.uri, "kept")).toBe("yes")
    })
  )

  it.scopedLive("starts on another port when its last one is taken", () =>
    Effect.gen(function* () {
      const options = yield* redisOptions
      const dataFolder = yield* temporaryFolder
      const first = yield* Effect.scoped(RedisServer.start({ ...options, dataFolder }))
      const port = Number(new URL(first.uri).port)
      yield* RedisServer.start({ ...options, port })
      const again = yield* RedisServer.start({ ...options, dataFolder })
      expect(again.uri).not.toBe(first.uri)
    })
  )

  it.scopedLive("comes back on the same port after a kill, a stop, and with empty data after a wipe", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer.start(yield* redisOptions)
      yield* set(redis.uri, "a", "1")
      yield* redis.stop
      expect(yield* redis.pid).toEqual(Option.none())
      expect(Either.isLeft(yield* Effect.either(get(redis.uri, "a")))).toBe(true)
      yield* redis.start
      expect(yield* get(redis.uri, "a")).toBe("1")
      yield* redis.kill("SIGKILL")
      expect(yield* redis.pid).toEqual(Option.none())
      yield* redis.restart({ wipe: true })
      expect(yield* get(redis.uri, "a")).toBe(null)
    })
  )

  it.scopedLive("is ended although a test has paused it", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer.start(yield* redisOptions)
      const pid = Option.getOrThrow(yield* redis.pid)
      yield* redis.kill("SIGSTOP")
      yield* redis.stop
      expect(isRunning(pid)).toBe(false)
    })
  )
})

describe("a Redis left over from a killed process", () => {
  it.scopedLive("is used again, and stopped by its new user", () =>
    Effect.gen(function* () {
      const dataFolder = yield* temporaryFolder
      const left = yield* startChild("redis", dataFolder)
      yield* killChild(left)
      expect(isRunning(left.pid)).toBe(true)
      const { lines, report } = recorder()
      const start = RedisServer.start({ ...(yield* redisOptions), dataFolder, report })
      const pid = yield* Effect.scoped(Effect.flatMap(start, (redis) => redis.pid))
      expect(pid).toEqual(Option.some(left.pid))
      expect(lines).toContain("Redis: using the server that already runs on this data")
      expect(yield* gone(left.pid)).toBe(true)
    })
  )

  it.scopedLive(
    "is replaced when it does not answer",
    () =>
      Effect.gen(function* () {
        const dataFolder = yield* temporaryFolder
        const left = yield* startChild("redis", dataFolder)
        yield* set(left.uri, "kept", "yes")
        yield* killChild(left)
        process.kill(left.pid, "SIGSTOP")
        const redis = yield* RedisServer.start({ ...(yield* redisOptions), dataFolder })
        expect(isRunning(left.pid)).toBe(false)
        expect(yield* redis.pid).not.toEqual(Option.some(left.pid))
        expect(yield* get(redis.uri, "kept")).toBe("yes")
      }),
    20_000
  )

  it.scopedLive("is not taken for one when a stranger has its process id now", () =>
    Effect.gen(function* () {
      const dataFolder = yield* temporaryFolder
      yield* Effect.scoped(RedisServer.start({ ...(yield* redisOptions), dataFolder }))
      const stranger = { pid: process.pid, startedAt: "long ago" }
      const record = { port: 1, program: "redis-server", version: "6.2.14", process: stranger }
      writeFileSync(join(dataFolder, "server-0", "server.json"), JSON.stringify(record))
      const redis = yield* RedisServer.start({ ...(yield* redisOptions), dataFolder })
      expect(yield* redis.pid).not.toEqual(Option.some(process.pid))
      expect(isRunning(process.pid)).toBe(true)
    })
  )

  it.scopedLive("is swept with its folder when it was temporary", () =>
    Effect.gen(function* () {
      const left = yield* startChild("redis", "")
      const [folder] = yield* redisCommands(left.uri, [["CONFIG", "GET", "dir"]])
      const dataFolder = Array.isArray(folder) ? String(folder[1]) : ""
      yield* killChild(left)
      yield* RedisServer.start(yield* redisOptions)
      expect(isRunning(left.pid)).toBe(false)
      expect(existsSync(dataFolder)).toBe(false)
      expect(readdirSync(tmpdir()).some((name) => name.startsWith("twinbox-starting-"))).toBe(false)
    })
  )
})

describe("a Redis of another living process", () => {
  it.scopedLive("is shared, and goes on until its last user has left", () =>
    Effect.gen(function* () {
      const dataFolder = yield* temporaryFolder
      const owner = yield* startChild("redis", dataFolder)
      const start = RedisServer.start({ ...(yield* redisOptions), dataFolder })
      const shared = yield* Effect.scoped(Effect.flatMap(start, (redis) => redis.pid))
      expect(shared).toEqual(Option.some(owner.pid))
      expect(isRunning(owner.pid)).toBe(true)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* start
          owner.child.kill("SIGTERM")
          yield* gone(owner.child.pid ?? 0)
          expect(isRunning(owner.pid)).toBe(true)
        })
      )
      expect(yield* gone(owner.pid)).toBe(true)
    })
  )

  it.scopedLive("outlives Ctrl-C, which a terminal sends to the whole process group", () =>
    Effect.gen(function* () {
      // Not a temporary one: those of dead owners are swept by whichever test starts a server next.
      const dataFolder = yield* temporaryFolder
      const owner = yield* startChild("redis", dataFolder)
      signalGroup(owner, "SIGINT")
      expect(yield* gone(owner.child.pid ?? 0)).toBe(true)
      // Long enough for a server that the signal reached to end.
      yield* Effect.sleep("500 millis")
      expect(isRunning(owner.pid)).toBe(true)
      const start = RedisServer.start({ ...(yield* redisOptions), dataFolder })
      expect(yield* Effect.scoped(Effect.flatMap(start, (redis) => redis.pid))).toEqual(
        Option.some(owner.pid)
      )
      expect(yield* gone(owner.pid)).toBe(true)
    })
  )
})

describe("a Redis of the environment", () => {
  it.scopedLive("is used and never stopped", () =>
    Effect.gen(function* () {
      const options = yield* redisOptions
      const server = yield* RedisServer.start(options)
      const given = yield* Effect.scoped(RedisServer.start({ ...options, uri: Option.some(server.uri) }))
      expect(given.origin).toBe("environment")
      const refused = yield* Effect.flip(given.stop)
      expect(refused.reason).toBe("NotOwned")
      expect(Option.isSome(yield* server.pid)).toBe(true)
    })
  )

  it.scopedLive("gives a typed error without credentials when they are wrong", () =>
    Effect.gen(function* () {
      const options = yield* redisOptions
      const server = yield* RedisServer.start(options)
      yield* redisCommands(server.uri, [["CONFIG", "SET", "requirepass", "right"]])
      const uri = server.uri.replace("redis://", "redis://someone:s3cret@")
      const error = yield* Effect.flip(RedisServer.start({ ...options, uri: Option.some(uri) }))
      expect(error.reason).toBe("AuthenticationFailed")
      expect(String(error) + JSON.stringify(error)).not.toContain("s3cret")
      const none = yield* Effect.flip(RedisServer.start({ ...options, uri: Option.some(server.uri) }))
      expect(none.reason).toBe("AuthenticationFailed")
    })
  )

  it.scopedLive("is waited for, with a line, then gives a typed error without credentials", () =>
    Effect.gen(function* () {
      const { lines, report } = recorder()
      const uri = Option.some("redis://someone:s3cret@127.0.0.1:1/0")
      const error = yield* Effect.flip(
        RedisServer.start({ ...(yield* redisOptions), uri, report, uriTimeout: "1 second" })
      )
      expect(error.reason).toBe("Unreachable")
      expect(lines).toEqual(["Redis: waiting for Redis at 127.0.0.1:1 ..."])
      expect(lines.join() + JSON.stringify(error) + String(error)).not.toContain("s3cret")
    })
  )

  it.scopedLive("gives a typed error when its URL is none", () =>
    Effect.gen(function* () {
      const uri = Option.some("s3cret@nowhere")
      const error = yield* Effect.flip(RedisServer.start({ ...(yield* redisOptions), uri, report: silent }))
      expect(error.reason).toBe("InvalidUri")
      expect(error.message).not.toContain("s3cret")
    })
  )
})
