import { spawn } from "node:child_process"
import { once } from "node:events"
import { describe, expect, it } from "@effect/vitest"
import { MirrorBuild } from "@twinbox/redis"
import { Deferred, Effect, Either, Exit, Fiber, type Layer, Redacted, type Scope } from "effect"
import { ownRedis } from "../../packages/redis/test/testParts.ts"
import { connected, type Servers, stepped, watching } from "../setup/rebuildParts.ts"
import { testMongo } from "../setup/testServers.ts"
import { prefixOf, servers, type View, views, worldOf } from "../setup/rebuildWorld.ts"

const count = 330
const few = 100

type Services = Layer.Layer.Success<ReturnType<typeof connected>> | Scope.Scope

const live = (name: string, test: Effect.Effect<void, unknown, Services>) =>
  it.scopedLive(name, () => Effect.flatMap(servers, (found) => Effect.provide(test, connected(found))))

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)

const program = new URL("rebuildProcess.ts", import.meta.url).pathname

/** Runs a rebuild in a process of its own until it has made so many steps of a kind, and kills it where it stands. */
const killAfter = (
  { database, uri, url }: Servers,
  secret: Redacted.Redacted,
  step: "stage" | "swap",
  nth: number
) =>
  Effect.promise(async () => {
    const child = spawn(
      process.execPath,
      ["--conditions=twinbox-source", program, uri, database, url, Redacted.value(secret)],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    const closed = once(child, "close")
    let seen = ""
    child.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString()
      if (seen.split(step).length > nth) child.kill("SIGKILL")
    })
    const [, signal] = (await closed) as [number | null, string | null]
    return signal
  })

describe("A rebuild of a mirror", () => {
  for (const view of views) {
    const prefix = prefixOf(view)

    live(
      `puts right whatever was wrong, and touches nothing else (${view})`,
      Effect.gen(function* () {
        const { builds, command, customers, drain, everything, id, leftovers, standing, sync } =
          yield* worldOf(count)
        yield* customers.delete(id(11))
        yield* customers.delete(id(12))
        yield* drain
        const hash = (at: number) => `${prefix}:${id(at)}`
        const tombstone = (at: number) => `tombstone:{${hash(at)}}`
        yield* command("HSET", `${prefix}:foreign`, "theirs", "1")
        yield* command("SET", `${prefix}:text`, "theirs")
        yield* command("HSET", "twinbox:export:1", "version", "1", "json", "{}")
        yield* command("SET", "theirs", "1")
        const before = yield* everything

        yield* command("DEL", hash(3))
        yield* command("HSET", hash(300), "version", "0")
        yield* command("HSET", hash(7), "version", "12")
        yield* command("HSET", hash(8), "version", "nonsense")
        yield* command("HSET", hash(9), "json", "{}")
        yield* command("DEL", hash(10))
        yield* command("SET", tombstone(10), "40")
        yield* command("DEL", tombstone(11))
        yield* command("HSET", hash(11), "version", "1", "json", "{}")
        yield* command("DEL", tombstone(12))
        yield* command("HSET", `${prefix}:nobody`, "version", "4", "json", "{}")

        expect(yield* sync.rebuildMirror(builds[view])).toEqual({
          staged: count,
          written: 8,
          same: count - 8,
          newer: 0,
          pending: 0,
          removed: 1,
          unfit: 0,
          foreign: 0
        })
        expect(yield* everything).toEqual(before)
        expect(yield* leftovers).toEqual([])
        expect(yield* standing(view)).toEqual([])
      })
    )

    live(
      `while messages are delivered: nobody vanishes, and at the end all is as in the database (${view})`,
      Effect.gen(function* () {
        const {
          builds,
          command,
          customers,
          id,
          ids,
          isDrained,
          leftovers,
          redis,
          standing,
          startRelay,
          sync
        } = yield* worldOf(count)
        const relay = yield* startRelay
        yield* isDrained
        yield* Effect.forEach([20, 21, 22], (at) => command("HSET", `${prefix}:${id(at)}`, "json", "{}"))

        const kept = ids.slice(0, 60).map((known) => ["HEXISTS", `${prefix}:${known}`, "json"])
        const vanished: Array<number> = []
        let looks = 0
        const looking = yield* Effect.fork(
          Effect.forever(
            Effect.map(redis.pipeline(kept), (replies) => {
              looks += 1
              vanished.push(
                ...replies.flatMap((reply, at) => (Either.getOrElse(reply, () => 0) === 1 ? [] : [at]))
              )
            }).pipe(Effect.delay("1 millis"))
          )
        )
        let round = 0
        const write = Effect.suspend(() => {
          round += 1
          const at = 60 + (round % 300)
          return round % 3 === 0
            ? Effect.ignore(customers.delete(id(at)))
            : round % 3 === 1
              ? Effect.asVoid(customers.create({ name: `New ${round}`, visits: round }))
              : Effect.ignore(customers.update(id(round % 60), { visits: round }))
        })
        const writing = yield* Effect.fork(Effect.forever(write))
        const slow = stepped(builds[view], () => Effect.sleep("25 millis"))
        const summary = yield* sync.rebuildMirror(slow, { concurrency: 3 })
        yield* Fiber.interrupt(writing)
        expect(round).toBeGreaterThan(20)
        expect(summary.staged).toBeGreaterThan(count / 2)
        yield* isDrained
        yield* Fiber.interrupt(looking)
        expect(looks).toBeGreaterThan(10)
        expect(vanished).toEqual([])
        expect(yield* standing(view)).toEqual([])
        expect(yield* leftovers).toEqual([])
        yield* Fiber.interrupt(relay)
      })
    )
  }

  live(
    "of a mirror that lost its data: relays wait for it, and go on afterwards",
    Effect.gen(function* () {
      const { builds, command, customers, id, isDrained, sinks, standing, startRelay, sync } =
        yield* worldOf(count)
      const relay = yield* startRelay
      yield* isDrained
      yield* customers.delete(id(5))
      yield* isDrained
      yield* command("FLUSHDB")
      yield* customers.update(id(4), { visits: 77 })
      yield* Effect.repeat(sinks[0].ready, { until: (isReady) => !isReady })
      const summary = yield* sync.rebuildMirror(builds.anonymized)
      expect(summary).toMatchObject({ staged: count, unfit: 0, removed: 0 })
      yield* customers.create({ name: "New", visits: 1 })
      expect(yield* sinks[0].ready).toBe(true)
      expect(yield* sinks[1].ready).toBe(false)
      yield* sync.rebuildMirror(builds.original)
      expect(yield* sinks[1].ready).toBe(true)
      yield* isDrained
      for (const view of views) expect(yield* standing(view)).toEqual([])
      expect(yield* command("GET", `tombstone:{customer:${id(5)}}`)).toBe("2")
      yield* Fiber.interrupt(relay)
    })
  )

  it.scopedLive(
    "that does not fit into a full Redis fails, leaves nothing aside, and the mirror as it was",
    () =>
      Effect.gen(function* () {
        const { database, uri } = yield* testMongo
        const { uri: url } = yield* ownRedis()
        yield* Effect.gen(function* () {
          const { builds, command, drain, everything, id, leftovers, standing, sync } = yield* worldOf(count)
          yield* drain
          yield* command("HSET", `customer:${id(3)}`, "json", "{}")
          const before = yield* everything
          let stages = 0
          const filling = stepped(builds.anonymized, () =>
            ++stages === 3
              ? Effect.asVoid(Effect.orDie(command("CONFIG", "SET", "maxmemory", "1")))
              : Effect.void
          )
          expect(yield* failureOf(sync.rebuildMirror(filling))).toMatchObject({ _tag: "MirrorFull" })
          expect(stages).toBeGreaterThanOrEqual(3)
          expect(yield* leftovers).toEqual([])
          expect(yield* everything).toEqual(before)
          yield* command("CONFIG", "SET", "maxmemory", "0")
          yield* sync.rebuildMirror(builds.anonymized)
          expect(yield* standing("anonymized")).toEqual([])
        }).pipe(Effect.provide(connected({ database, uri, url })))
      })
  )

  /** Interrupts a rebuild when it calls a step for the n-th time, after that call. */
  const interruptAt = (view: View, step: "stage" | "swap", nth: number) =>
    Effect.gen(function* () {
      const world = yield* worldOf(count)
      const { builds, command, drain, id, leftovers, standing, sync } = world
      yield* drain
      yield* command("DEL", `${prefixOf(view)}:${id(30)}`)
      const reached = yield* Deferred.make<void>()
      let calls = 0
      const watched = stepped(builds[view], (done) =>
        done === step && ++calls === nth
          ? Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never)
          : Effect.void
      )
      const running = yield* Effect.fork(sync.rebuildMirror(watched, { concurrency: 1 }))
      yield* Effect.raceFirst(Deferred.await(reached), Fiber.join(running))
      yield* Fiber.interrupt(running)
      expect((yield* leftovers).length).toBeGreaterThan(1)

      let stages = 0
      const counted = watching(builds[view], ({ isResumed, stage }) => {
        expect(isResumed).toBe(true)
        return {
          stage: (...given) => {
            stages += 1
            return stage(...given)
          }
        }
      })
      const summary = yield* sync.rebuildMirror(counted)
      expect(yield* leftovers).toEqual([])
      expect(yield* standing(view)).toEqual([])
      return { summary, stages }
    })

  live(
    "interrupted while it reads goes on from there",
    Effect.gen(function* () {
      const { stages, summary } = yield* interruptAt("anonymized", "stage", 4)
      // 330 documents in pages of 40, and the empty part of tombstones, but for those of the first call.
      expect(stages).toBeLessThanOrEqual(8)
      expect(summary.staged).toBe(count)
      expect(summary.written).toBe(1)
    })
  )

  live(
    "interrupted while it swaps goes on from there",
    Effect.gen(function* () {
      const { stages, summary } = yield* interruptAt("original", "swap", 4)
      expect(stages).toBe(0)
      expect(summary.staged).toBeLessThan(count)
    })
  )

  it.scopedLive("killed again and again goes on each time", () =>
    Effect.gen(function* () {
      const found = yield* servers
      yield* Effect.gen(function* () {
        const { builds, command, drain, leftovers, secret, standing, sync } = yield* worldOf(count)
        yield* drain
        yield* command("FLUSHDB")
        expect(yield* killAfter(found, secret, "stage", 2)).toBe("SIGKILL")
        expect(yield* killAfter(found, secret, "swap", 3)).toBe("SIGKILL")
        expect((yield* leftovers).length).toBeGreaterThan(1)
        expect((yield* standing("anonymized")).length).toBeGreaterThan(0)
        expect((yield* sync.rebuildMirror(builds.anonymized)).staged).toBeLessThan(count)
        expect(yield* standing("anonymized")).toEqual([])
        expect(yield* leftovers).toEqual([])
      }).pipe(Effect.provide(connected(found)))
    })
  )

  live(
    "begins anew when asked to, and leaves nothing of the one before",
    Effect.gen(function* () {
      const { builds, drain, leftovers, sync } = yield* worldOf(few)
      yield* drain
      const failing = watching(builds.anonymized, () => ({ swapNext: Effect.die("killed") }))
      expect(Exit.isFailure(yield* Effect.exit(sync.rebuildMirror(failing)))).toBe(true)
      const resumed: Array<boolean> = []
      const watched = watching(builds.anonymized, ({ isResumed }) => {
        resumed.push(isResumed)
        return {}
      })
      expect(yield* sync.rebuildMirror(watched, { fresh: true })).toMatchObject({
        staged: few,
        same: few
      })
      expect(resumed).toEqual([false])
      expect(yield* leftovers).toEqual([])
    })
  )

  live(
    "begins anew by itself when the mirror loses its data meanwhile",
    Effect.gen(function* () {
      const { builds, command, drain, leftovers, sinks, standing, sync } = yield* worldOf(few)
      yield* drain
      let swaps = 0
      const watched = watching(builds.anonymized, ({ swapNext }) => ({
        swapNext: Effect.suspend(() =>
          ++swaps === 2 ? Effect.zipRight(Effect.orDie(command("FLUSHDB")), swapNext) : swapNext
        )
      }))
      expect(yield* sync.rebuildMirror(watched)).toMatchObject({ staged: few, written: few })
      expect(yield* sinks[0].ready).toBe(true)
      expect(yield* standing("anonymized")).toEqual([])
      expect(yield* leftovers).toEqual([])
    })
  )

  live(
    "gives up when the mirror loses its data again and again",
    Effect.gen(function* () {
      const { builds, command, drain, sinks, sync } = yield* worldOf(few)
      yield* drain
      let losses = 0
      const watched = watching(builds.anonymized, ({ check }) => ({
        check: Effect.zipRight(
          Effect.orDie(command("FLUSHDB")),
          Effect.suspend(() => {
            losses += 1
            return check
          })
        )
      }))
      expect(yield* failureOf(sync.rebuildMirror(watched))).toMatchObject({
        _tag: "BuildLost",
        mirror: "redis-mirror"
      })
      expect(losses).toBe(3)
      expect(yield* sinks[0].ready).toBe(false)
    })
  )

  live(
    "is refused while another one is under way",
    Effect.gen(function* () {
      const { builds, drain, standing, sync } = yield* worldOf(few)
      yield* drain
      const reached = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      // On a machine that is slow for a second, a shorter one would end.
      const build = yield* MirrorBuild.make({ view: "anonymized", lease: "5 seconds" })
      const waiting = watching(build, ({ check }) => ({
        check: Effect.zipRight(
          Deferred.succeed(reached, undefined),
          Effect.zipRight(Deferred.await(goOn), check)
        )
      }))
      const first = yield* Effect.fork(sync.rebuildMirror(waiting))
      yield* Deferred.await(reached)
      expect(yield* failureOf(sync.rebuildMirror(build))).toMatchObject({
        _tag: "RebuildUnderWay"
      })
      // The other mirror is another matter.
      expect(yield* sync.rebuildMirror(builds.original)).toMatchObject({ same: few })
      yield* Deferred.succeed(goOn, undefined)
      expect(yield* Fiber.join(first)).toMatchObject({ same: few })
      expect(yield* standing("anonymized")).toEqual([])
    })
  )

  live(
    "tells how far it is",
    Effect.gen(function* () {
      const { builds, drain, sync } = yield* worldOf(few)
      yield* drain
      const phases = new Set<string>()
      let last: unknown
      yield* sync.rebuildMirror(builds.anonymized, {
        maxPerSecond: 5_000,
        onProgress: (progress) =>
          Effect.sync(() => {
            phases.add(progress.phase)
            last = progress
          })
      })
      expect([...phases]).toEqual(["read", "swap", "clear"])
      expect(last).toMatchObject({ done: few, total: few, differing: 0 })
    })
  )
})
