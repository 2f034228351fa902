import { describe, expect, it } from "@effect/vitest"
import type { Sink } from "@twinbox/outbox"
import { RedisMirror } from "@twinbox/redis"
import { Duration, Effect, Either, Fiber, Schedule } from "effect"
import {
  ask,
  buried,
  connect,
  customers,
  failureOf,
  message,
  mirrorAt,
  mirrored,
  named,
  ownRedis,
  recordAt,
  using
} from "./testParts.ts"

const mirrorOnOwnRedis = (...given: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const server = yield* ownRedis(...given)
    return { server, url: server.uri, ...(yield* mirrorAt(server.uri)) }
  })

/** Delivers as a relay does: again while the sink is away. */
const deliverUntilTaken = (mirror: Sink.Sink, batch: Parameters<Sink.Sink["deliver"]>[0]) =>
  mirror
    .deliver(batch)
    .pipe(
      Effect.retry({ while: (error) => error.retryable, schedule: Schedule.spaced("50 millis") }),
      Effect.timeout("8 seconds")
    )

describe("a Redis that fails", () => {
  it.scopedLive("scripts that Redis forgot are loaded again, and nothing is refused", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* mirrorOnOwnRedis()
      yield* ask(url, "SCRIPT", "FLUSH")
      expect(yield* mirror.deliver([named("1", 1, "a"), message("2", 5, null)])).toEqual([])
      expect(yield* recordAt(url, "1")).toEqual(mirrored("1", "a"))
      expect(yield* recordAt(url, "2")).toEqual(buried("5"))
    })
  )

  it.scopedLive("killed and started again: batches fail at once, then go through, and nothing is lost", () =>
    Effect.gen(function* () {
      const { mirror, server, url } = yield* mirrorOnOwnRedis("--appendfsync", "always")
      yield* mirror.deliver([named("1", 1, "a"), message("2", 1, null)])
      yield* server.kill("SIGKILL")
      const [took, error] = yield* Effect.timed(failureOf(mirror, [named("1", 2, "b")]))
      expect(error).toMatchObject({ reason: "Unavailable", retryable: true })
      expect(Duration.toMillis(took)).toBeLessThan(1000)
      expect(yield* Effect.either(mirror.ready)).toMatchObject({ left: { reason: "Unavailable" } })
      const waiting = yield* Effect.fork(deliverUntilTaken(mirror, [named("1", 2, "b"), named("2", 2, "c")]))
      yield* Effect.sleep("300 millis")
      yield* server.start
      expect(yield* Fiber.join(waiting)).toEqual([])
      expect(yield* recordAt(url, "1")).toEqual(mirrored("2", "b"))
      expect(yield* recordAt(url, "2")).toEqual(mirrored("2", "c"))
      expect(yield* mirror.ready).toBe(true)
    })
  )

  it.scopedLive("killed under load: what was confirmed is there, and per key nothing went back", () =>
    Effect.gen(function* () {
      const { mirror, server, url } = yield* mirrorOnOwnRedis("--appendfsync", "always")
      const keys = Array.from({ length: 40 }, (_, at) => `${at}`)
      const load = Effect.forEach(
        Array.from({ length: 60 }, (_, at) => at + 1),
        (sequence) =>
          deliverUntilTaken(
            mirror,
            keys.map((id) => named(id, sequence, `v${sequence}`))
          ),
        { discard: true }
      )
      const seen: Array<number> = []
      const look = Effect.flatMap(connect(url), (redis) =>
        Effect.forever(
          Effect.zipRight(
            Effect.sleep("2 millis"),
            Effect.ignore(
              Effect.map(redis.command(["HGET", "customer:7", "version"]), (reply) =>
                seen.push(Number(reply))
              )
            )
          )
        )
      )
      const looking = yield* Effect.fork(look)
      const running = yield* Effect.fork(load)
      for (let kills = 0; kills < 3; kills++) {
        yield* Effect.sleep("60 millis")
        yield* server.kill("SIGKILL")
        yield* server.start
      }
      yield* Fiber.join(running)
      yield* Fiber.interrupt(looking)
      expect(seen.length).toBeGreaterThan(10)
      expect(seen).toEqual([...seen].sort((a, b) => a - b))
      for (const id of keys) expect(yield* recordAt(url, id)).toEqual(mirrored("60", "v60"))
    })
  )

  it.scopedLive("frozen: a batch fails within its time limit, and goes through later", () =>
    Effect.gen(function* () {
      const { mirror, server, url } = yield* mirrorOnOwnRedis()
      yield* server.kill("SIGSTOP")
      const [took, error] = yield* Effect.timed(failureOf(mirror, [named("1", 1, "a")]))
      expect(error.reason).toBe("Unavailable")
      expect(Duration.toMillis(took)).toBeLessThan(1500)
      // The connection was given up: nothing piles up in it.
      const [next, second] = yield* Effect.timed(failureOf(mirror, [named("1", 1, "a")]))
      expect(second.reason).toBe("Unavailable")
      expect(Duration.toMillis(next)).toBeLessThan(100)
      yield* server.kill("SIGCONT")
      expect(yield* deliverUntilTaken(mirror, [named("1", 2, "b")])).toEqual([])
      expect(yield* recordAt(url, "1")).toEqual(mirrored("2", "b"))
    })
  )

  it.scopedLive("out of memory: the whole batch waits", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* mirrorOnOwnRedis()
      yield* ask(url, "CONFIG", "SET", "maxmemory", "1")
      const error = yield* failureOf(mirror, [named("1", 1, "a"), message("2", 1, null)])
      expect(error).toMatchObject({ reason: "Unavailable", cause: { reason: "OutOfMemory" } })
      yield* ask(url, "CONFIG", "SET", "maxmemory", "0")
      expect(yield* mirror.deliver([named("1", 1, "a")])).toEqual([])
    })
  )

  it.scopedLive("a replica: the whole batch waits, and the connection is made anew", () =>
    Effect.gen(function* () {
      const { connection, mirror, url } = yield* mirrorOnOwnRedis()
      const clientId = Effect.retry(connection.command(["CLIENT", "ID"]), Schedule.spaced("20 millis"))
      const before = yield* clientId
      yield* ask(url, "REPLICAOF", "127.0.0.1", "1")
      const error = yield* failureOf(mirror, [named("1", 1, "a")])
      expect(error).toMatchObject({ reason: "Unavailable", cause: { reason: "ReadOnly" } })
      expect(yield* clientId).not.toBe(before)
      yield* ask(url, "REPLICAOF", "NO", "ONE")
      expect(yield* deliverUntilTaken(mirror, [named("1", 1, "a")])).toEqual([])
    })
  )

  it.scopedLive("a user without permission: the whole batch waits for a person", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* mirrorOnOwnRedis()
      yield* ask(url, "ACL", "SETUSER", "default", "-evalsha")
      const error = yield* failureOf(mirror, [named("1", 1, "a")])
      expect(error).toMatchObject({ reason: "NotReady", cause: { reason: "AuthenticationFailed" } })
    })
  )
})

describe("a Redis that goes away before the mirror is made", () => {
  const awayFor = (isNew: boolean) =>
    Effect.gen(function* () {
      const server = yield* ownRedis("--appendfsync", "always")
      const connection = yield* connect(server.uri)
      const make = using(connection)(RedisMirror.make({ topics: [customers], isNew }))
      if (!isNew) yield* using(connection)(RedisMirror.make({ topics: [customers], isNew: true }))
      yield* server.kill("SIGKILL")
      return { server, make }
    })

  it.scopedLive("a mirror that is not new needs nothing of it yet", () =>
    Effect.gen(function* () {
      const { make, server } = yield* awayFor(false)
      const mirror = yield* make
      yield* server.start
      expect(yield* deliverUntilTaken(mirror, [named("1", 1, "a")])).toEqual([])
    })
  )

  it.scopedLive("a new mirror waits for it", () =>
    Effect.gen(function* () {
      const { make, server } = yield* awayFor(true)
      const making = yield* Effect.fork(make)
      yield* Effect.sleep("100 millis")
      yield* server.start
      const mirror = yield* Fiber.join(making)
      expect(yield* deliverUntilTaken(mirror, [named("1", 1, "a")])).toEqual([])
    })
  )
})

describe("a Redis that loses data", () => {
  it.scopedLive("emptied: not ready", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* mirrorOnOwnRedis()
      yield* mirror.deliver([named("1", 1, "a")])
      yield* ask(url, "FLUSHALL")
      expect((yield* failureOf(mirror, [named("2", 1, "b")])).reason).toBe("NotReady")
      expect(yield* mirror.ready).toBe(false)
    })
  )

  it.scopedLive("started again without its data: not ready", () =>
    Effect.gen(function* () {
      const { mirror, server } = yield* mirrorOnOwnRedis()
      yield* mirror.deliver([named("1", 1, "a")])
      yield* server.restart({ wipe: true })
      const settled = yield* mirror
        .deliver([named("2", 1, "b")])
        .pipe(
          Effect.either,
          Effect.delay("50 millis"),
          Effect.repeat({ while: (result) => Either.isLeft(result) && result.left.reason === "Unavailable" }),
          Effect.timeout("5 seconds")
        )
      expect(settled).toMatchObject({ left: { reason: "NotReady" } })
    })
  )

  it.scopedLive("back at an older snapshot: not ready, also for those who never saw the newer state", () =>
    Effect.gen(function* () {
      const { mirror, server, url } = yield* mirrorOnOwnRedis("--appendonly", "no")
      yield* mirror.deliver([named("1", 1, "a")])
      yield* ask(url, "SAVE")
      yield* mirror.deliver([named("1", 2, "b")])
      yield* server.kill("SIGKILL")
      yield* server.start
      const settled = yield* Effect.either(mirror.ready).pipe(
        Effect.delay("50 millis"),
        Effect.repeat({ while: Either.isLeft }),
        Effect.timeout("5 seconds")
      )
      expect(settled).toMatchObject({ right: false })
      expect((yield* failureOf(mirror, [named("2", 1, "c")])).reason).toBe("NotReady")
      const newcomer = yield* mirrorAt(url, { isNew: false })
      expect(yield* newcomer.mirror.ready).toBe(false)
    })
  )
})
