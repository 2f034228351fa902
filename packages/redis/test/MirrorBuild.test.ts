import { describe, expect, it } from "@effect/vitest"
import { Key, type MirrorBuild as Port } from "@twinbox/outbox"
import { MirrorBuild } from "@twinbox/redis"
import { Effect, Option, Scope } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import {
  create,
  indexes,
  listingsAt,
  onFreshRedis,
  originalsOver,
  recordAt as originalAt
} from "./testOutbox.ts"
import { ask, type connect, message, mirrorAt, named, ownRedis, recordAt, using } from "./testParts.ts"

type Options = Partial<Parameters<typeof MirrorBuild.make>[0]>

const keyOf = (id: string) => Key.make("customer", id)

const state = (id: string, version: number, name?: string): Port.State => ({
  key: keyOf(id),
  version,
  payload: name === undefined ? null : JSON.stringify({ name })
})

const anew: Port.OpenOptions<never> = { rules: "rules", fresh: false, plan: Effect.succeed(["all"]) }

const part: Port.Part = { number: 0, rest: "all" }

const over = (connection: Effect.Effect.Success<ReturnType<typeof connect>>, options: Options = {}) =>
  using(connection)(MirrorBuild.make({ view: "anonymized", lease: "600 millis", ...options }))

const onRedis = (url: string, options: Options = {}) =>
  Effect.gen(function* () {
    const { connection, mirror } = yield* mirrorAt(url)
    return { url, connection, mirror, builder: yield* over(connection, options) }
  })

const fresh = (options: Options = {}) => Effect.flatMap(testRedis, ({ url }) => onRedis(url, options))

const swapAll = (build: Port.Build) =>
  Effect.gen(function* () {
    const all: Array<Port.Swapped> = []
    for (let next = yield* build.swapNext; Option.isSome(next); next = yield* build.swapNext)
      all.push(next.value)
    return all
  })

const rest = (build: Port.Build) =>
  Effect.gen(function* () {
    yield* build.check
    const swapped = yield* swapAll(build)
    yield* build.finish
    return swapped
  })

const keysOf = (url: string) =>
  Effect.map(ask(url, "KEYS", "twinbox:rebuild:*"), (names) => names as Array<string>)

const chunksOf = (url: string) =>
  Effect.map(keysOf(url), (names) => names.filter((name) => /:\d+$/.test(name)))

const textOf = (version: string, name: string) => ({
  version,
  json: JSON.stringify({ name }),
  tombstone: null
})
const gone = (version: string) => ({ version: null, json: null, tombstone: version })

describe("a mirror built anew", () => {
  it.scopedLive("shows the old state until it is swapped in, and nothing is left aside", () =>
    Effect.gen(function* () {
      const { builder, mirror, url } = yield* fresh()
      yield* mirror.deliver([named("1", 1, "old"), named("2", 1, "old"), message("3", 4, null)])
      const build = yield* builder.open(anew)
      yield* build.stage(part, [state("1", 2, "new"), state("2", 2), state("3", 5, "back")], "more")
      yield* build.stage({ ...part, rest: "more" }, [state("4", 1, "first")], undefined)
      expect(yield* recordAt(url, "1")).toEqual(textOf("1", "old"))
      for (const name of yield* keysOf(url)) {
        expect(Number(yield* ask(url, "PTTL", name))).toBeGreaterThan(0)
        expect(name).not.toMatch(/^customer/)
      }
      const swapped = yield* rest(build)
      expect(swapped.map(({ written }) => written)).toEqual([3, 1])
      expect(yield* recordAt(url, "1")).toEqual(textOf("2", "new"))
      expect(yield* recordAt(url, "2")).toEqual(gone("2"))
      expect(yield* recordAt(url, "3")).toEqual(textOf("5", "back"))
      expect(yield* recordAt(url, "4")).toEqual(textOf("1", "first"))
      expect(yield* mirror.ready).toBe(true)
      expect((yield* keysOf(url)).filter((name) => !name.endsWith(":lock"))).toEqual([])
    })
  )

  it.scopedLive("of equal versions the state counts; what messages brought meanwhile stays", () =>
    Effect.gen(function* () {
      const { builder, mirror, url } = yield* fresh()
      yield* mirror.deliver([named("1", 3, "altered"), message("2", 3, null), named("5", 7, "same")])
      const build = yield* builder.open(anew)
      const states = [
        state("1", 3, "a"),
        state("2", 3, "b"),
        state("3", 3, "c"),
        state("4", 3),
        state("5", 7, "same")
      ]
      yield* build.stage(part, states, undefined)
      yield* mirror.deliver([message("3", 4, null), named("4", 4, "newer")])
      const [swapped] = yield* rest(build)
      expect(swapped).toMatchObject({ written: 2, same: 1, pending: 0, foreign: 0 })
      expect(swapped?.newer.toSorted()).toEqual([keyOf("3"), keyOf("4")])
      expect(yield* recordAt(url, "1")).toEqual(textOf("3", "a"))
      expect(yield* recordAt(url, "2")).toEqual(textOf("3", "b"))
      expect(yield* recordAt(url, "3")).toEqual(gone("4"))
      expect(yield* recordAt(url, "4")).toEqual(textOf("4", "newer"))
    })
  )

  it.scopedLive("settles a key only as long as it is as it was seen", () =>
    Effect.gen(function* () {
      const { builder, mirror, url } = yield* fresh()
      yield* mirror.deliver([named("1", 9, "ahead"), named("2", 9, "extra"), named("3", 9, "ahead")])
      yield* ask(url, "SET", "customer:4", "theirs")
      yield* ask(url, "HSET", "customer:5", "theirs", "1")
      const build = yield* builder.open(anew)
      const keys = ["1", "2", "3", "4", "5"].map(keyOf)
      const seen = yield* build.look(keys)
      expect(seen[3]).toBeUndefined()
      yield* mirror.deliver([named("3", 10, "newest")])
      const states = [state("1", 2, "right"), undefined, state("3", 2, "right"), undefined, undefined]
      const settlements = keys.flatMap((key, at) => {
        const sight = seen[at]
        return sight === undefined ? [] : [{ key, seen: sight, state: states[at] }]
      })
      expect(yield* build.settle(settlements)).toBe(2)
      expect(yield* recordAt(url, "1")).toEqual(textOf("2", "right"))
      expect(yield* recordAt(url, "2")).toMatchObject({ version: null, tombstone: null })
      expect(yield* recordAt(url, "3")).toEqual(textOf("10", "newest"))
      expect(yield* ask(url, "GET", "customer:4")).toBe("theirs")
      expect(yield* ask(url, "HGETALL", "customer:5")).toEqual(["theirs", "1"])
    })
  )

  it.scopedLive("takes one round trip to put states aside, and one to swap a chunk in", () =>
    Effect.gen(function* () {
      const { connection } = yield* fresh()
      let trips = 0
      const counted: typeof connection = {
        ...connection,
        pipeline: (commands) => {
          trips += 1
          return connection.pipeline(commands)
        }
      }
      const tripsOf = <A, E>(call: Effect.Effect<A, E>) =>
        Effect.suspend(() => {
          trips = 0
          return Effect.map(call, () => trips)
        })
      const build = yield* Effect.flatMap(over(counted), ({ open }) => open(anew))
      const some = (from: number) => Array.from({ length: 250 }, (_, at) => state(`${from + at}`, 1, "a"))
      // The first call may have to load the scripts.
      yield* build.stage(part, some(0), "1")
      expect(yield* tripsOf(build.stage({ ...part, rest: "1" }, some(250), "2"))).toBe(1)
      yield* build.stage({ ...part, rest: "2" }, some(500), undefined)
      expect(yield* tripsOf(build.check)).toBe(2)
      // The first chunk is asked for its keys before.
      expect(yield* tripsOf(build.swapNext)).toBe(2)
      expect(yield* tripsOf(build.swapNext)).toBe(1)
      expect(yield* tripsOf(build.swapNext)).toBe(1)
      expect(yield* tripsOf(build.swapNext)).toBe(0)
      expect(yield* tripsOf(build.look(some(0).map(({ key }) => key)))).toBe(1)
      expect(yield* tripsOf(build.finish)).toBe(1)
    })
  )

  it.scopedLive("keeps the mirror's tombstones for as long as the mirror does", () =>
    Effect.gen(function* () {
      const { builder, url } = yield* fresh({ tombstoneTtl: "1 hour" })
      const build = yield* builder.open(anew)
      yield* build.stage(part, [state("1", 2)], undefined)
      yield* rest(build)
      const left = Number(yield* ask(url, "PTTL", "tombstone:{customer:1}"))
      expect(left).toBeGreaterThan(3_000_000)
      expect(left).toBeLessThanOrEqual(3_600_000)
    })
  )

  it.scopedLive("of originals: pending writes stay, and listings are right", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox, url } = yield* onFreshRedis()
      const mirror = yield* originalsOver(connection)
      const original = (id: string, version: number, email: string): Port.State => ({
        key: keyOf(id),
        version,
        payload: JSON.stringify({ _id: id, version, email })
      })
      yield* mirror.deliver([
        { ...message("1", 1, original("1", 1, "one@x").payload) },
        { ...message("2", 1, original("2", 1, "two@x").payload) }
      ])
      const { pending } = yield* outbox.write(create("9", { email: "nine@x" }))
      yield* ask("ZREM", "ids:{customer_v2}", "2")
      const builder = yield* over(connection, { view: "original", indexes })
      const build = yield* builder.open(anew)
      yield* build.stage(
        part,
        [
          original("1", 2, "new@x"),
          original("2", 1, "two@x"),
          original("3", 1, "three@x"),
          original("9", 5, "no@x")
        ],
        undefined
      )
      const [swapped] = yield* rest(build)
      expect(swapped).toMatchObject({ written: 2, same: 1, pending: 1, newer: [] })
      expect(yield* originalAt(url, "9")).toMatchObject({ version: "0", pending, skipped: "5" })
      expect(yield* build.look([keyOf("9")])).toEqual([undefined])
      expect(yield* listingsAt(url)).toEqual({
        ids: ["1", "2", "3", "9"],
        emails: ["new@x\u00001", "nine@x\u00009", "three@x\u00003", "two@x\u00002"]
      })
    })
  )
})

describe("what stands aside", () => {
  const staged = Effect.gen(function* () {
    const parts = yield* fresh()
    yield* parts.mirror.deliver([named("1", 1, "old")])
    const build = yield* parts.builder.open(anew)
    yield* build.stage(part, [state("1", 2, "new"), state("2", 2, "new")], "more")
    yield* build.stage({ ...part, rest: "more" }, [state("3", 1, "new")], undefined)
    return { ...parts, build }
  })

  const untouched = (url: string) =>
    Effect.map(recordAt(url, "1"), (found) => expect(found).toEqual(textOf("1", "old")))

  it.scopedLive("is counted: a chunk that vanished is noticed before anything is swapped in", () =>
    Effect.gen(function* () {
      const { build, url } = yield* staged
      const [chunk = ""] = yield* chunksOf(url)
      yield* ask(url, "DEL", chunk)
      expect(yield* Effect.flip(build.check)).toMatchObject({ _tag: "BuildLost" })
      yield* untouched(url)
    })
  )

  it.scopedLive("is compared with what was given: another content is noticed", () =>
    Effect.gen(function* () {
      const { build, url } = yield* staged
      const [chunk = ""] = yield* chunksOf(url)
      const [key = "", entry = ""] = (yield* ask(url, "HGETALL", chunk)) as Array<string>
      yield* ask(url, "HSET", chunk, key, entry.replace("new", "old"))
      expect(yield* Effect.flip(build.check)).toMatchObject({ _tag: "BuildLost" })
      yield* untouched(url)
    })
  )

  it.scopedLive("is lost when Redis goes back to an older state, though it has the build", () =>
    Effect.gen(function* () {
      const { build, url } = yield* staged
      yield* ask(url, "HINCRBY", "twinbox:rebuild:redis-mirror", "steps", "-1")
      expect(yield* Effect.flip(build.check)).toMatchObject({ _tag: "BuildLost" })
      yield* untouched(url)
    })
  )

  it.scopedLive("does not say that the mirror is ready when that lost data meanwhile", () =>
    Effect.gen(function* () {
      const { build, mirror, url } = yield* staged
      yield* ask(url, "DEL", "twinbox:mirror:redis-mirror")
      yield* build.check
      yield* swapAll(build)
      expect(yield* Effect.flip(build.finish)).toMatchObject({ _tag: "BuildLost" })
      expect(yield* mirror.ready).toBe(false)
    })
  )

  it.scopedLive("is put aside once, however often the same call comes", () =>
    Effect.gen(function* () {
      const { build, url } = yield* staged
      yield* build.stage(part, [state("1", 2, "new"), state("2", 2, "new")], "more")
      expect(yield* build.check).toBe(3)
      expect((yield* chunksOf(url)).length).toBe(2)
    })
  )

  it.scopedLive("needs no script that Redis still knows", () =>
    Effect.gen(function* () {
      const { build, url } = yield* staged
      yield* ask(url, "SCRIPT", "FLUSH")
      expect((yield* rest(build)).map(({ written }) => written)).toEqual([2, 1])
    })
  )

  it.scopedLive("is for one builder; who is dead is followed by the next, who goes on", () =>
    Effect.gen(function* () {
      const { builder, connection, url } = yield* fresh({ lease: "3 seconds" })
      const life = yield* Scope.make()
      const first = yield* Scope.extend(builder.open(anew), life)
      yield* first.stage(part, [state("1", 2, "new")], "more")
      expect(yield* Effect.flip(Effect.scoped(builder.open(anew)))).toMatchObject({ _tag: "RebuildUnderWay" })

      // Its heartbeats do not come through any more, and it knows nothing of it.
      yield* ask(url, "SET", "twinbox:rebuild:redis-mirror:lock", "another", "PX", "300")
      const other = yield* over(connection, { lease: "5 seconds" })
      const second = yield* other.open({ ...anew, plan: Effect.die("there is a plan") })
      expect(second).toMatchObject({ isResumed: true, staged: 1, parts: [{ number: 0, rest: "more" }] })
      expect(yield* Effect.flip(first.stage({ ...part, rest: "more" }, [], undefined))).toMatchObject({
        _tag: "RebuildUnderWay"
      })
      yield* second.stage({ ...part, rest: "more" }, [state("2", 2, "new")], undefined)
      expect((yield* rest(second)).map(({ written }) => written)).toEqual([1, 1])
      yield* Scope.close(life, yield* Effect.exit(Effect.void))
    })
  )

  it.scopedLive("by other rules, or from before a loss, is removed and not gone on with", () =>
    Effect.gen(function* () {
      const { builder, url } = yield* fresh()
      const abandoned = Effect.scoped(
        Effect.flatMap(builder.open({ ...anew, fresh: true }), (build) =>
          build.stage(part, [state("1", 2, "new")], "more")
        )
      )
      yield* abandoned
      const others = yield* Effect.scoped(builder.open({ ...anew, rules: "others" }))
      expect(others.isResumed).toBe(false)
      expect(yield* chunksOf(url)).toEqual([])
      yield* abandoned
      yield* ask(url, "HSET", "twinbox:mirror:redis-mirror", "generation", "another")
      expect((yield* Effect.scoped(builder.open(anew))).isResumed).toBe(false)
      expect(yield* chunksOf(url)).toEqual([])
    })
  )

  it.scopedLive("does not fit into a full Redis: a typed error, the mirror as it was, and nothing left", () =>
    Effect.gen(function* () {
      const { uri: url } = yield* ownRedis()
      const { builder, mirror } = yield* onRedis(url)
      yield* mirror.deliver([named("1", 1, "old")])
      const build = yield* builder.open(anew)
      yield* build.stage(part, [state("1", 2, "new")], "more")
      yield* ask(url, "CONFIG", "SET", "maxmemory", "1")
      const more = build.stage({ ...part, rest: "more" }, [state("2", 2, "new")], undefined)
      expect(yield* Effect.flip(more)).toMatchObject({ _tag: "MirrorFull", mirror: "redis-mirror" })
      yield* build.abandon
      expect((yield* keysOf(url)).filter((name) => !name.endsWith(":lock"))).toEqual([])
      yield* untouched(url)
    })
  )

  it.scopedLive("is refused by a user without permission, in a sentence", () =>
    Effect.gen(function* () {
      const { uri: url } = yield* ownRedis()
      const { builder } = yield* onRedis(url)
      yield* ask(url, "ACL", "SETUSER", "default", "-hgetall")
      const error = yield* Effect.flip(Effect.scoped(builder.open(anew)))
      expect(error).toMatchObject({ _tag: "MirrorRefused", retryable: false })
      expect(error.message).toContain("check user, password and permissions")
    })
  )
})
