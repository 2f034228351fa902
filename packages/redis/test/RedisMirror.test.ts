import { describe, expect, it } from "@effect/vitest"
import { Key, type Message, OutboxMemory, OutboxStore } from "@twinbox/outbox"
import { MirrorMetrics, RedisMirror } from "@twinbox/redis"
import { redisCommands } from "@twinbox/services"
import { Effect, FastCheck as fc, Metric } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import {
  ask,
  buried,
  connect,
  customerOriginals,
  customers,
  message,
  mirrorAt,
  mirrored,
  named,
  recordAt,
  using
} from "./testParts.ts"

const onFreshRedis = Effect.gen(function* () {
  const { url } = yield* testRedis
  return { url, ...(yield* mirrorAt(url)) }
})

describe("what a mirror shows", () => {
  it.scopedLive("a newer version replaces an older one", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      expect(yield* mirror.deliver([named("42", 1, "a")])).toEqual([])
      expect(yield* mirror.deliver([named("42", 2, "b")])).toEqual([])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("2", "b"))
    })
  )

  it.scopedLive("an older version that comes late changes nothing", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("42", 10, "new")])
      expect(yield* mirror.deliver([named("42", 9, "old")])).toEqual([])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("10", "new"))
    })
  )

  it.scopedLive("a version that comes twice changes nothing", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("42", 3, "first")])
      yield* mirror.deliver([named("42", 3, "second")])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("3", "first"))
    })
  )

  it.scopedLive("a deleted record leaves a tombstone that stops older versions", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("42", 1, "a")])
      yield* mirror.deliver([message("42", 2, null)])
      expect(yield* recordAt(url, "42")).toEqual(buried("2"))
      yield* mirror.deliver([named("42", 1, "a"), message("42", 2, null)])
      expect(yield* recordAt(url, "42")).toEqual(buried("2"))
    })
  )

  it.scopedLive("an older delete that comes late changes nothing", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("42", 3, "c")])
      yield* mirror.deliver([message("42", 2, null)])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("3", "c"))
    })
  )

  it.scopedLive("a record made again after its delete shows, and its tombstone goes", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("42", 1, "a")])
      yield* mirror.deliver([message("42", 2, null)])
      yield* mirror.deliver([named("42", 3, "again")])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("3", "again"))
    })
  )

  it.scopedLive("create, delete, create in one batch shows the last", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("42", 1, "a"), message("42", 2, null), named("42", 3, "last")])
      yield* mirror.deliver([named("7", 1, "a"), message("7", 2, null)])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("3", "last"))
      expect(yield* recordAt(url, "7")).toEqual(buried("2"))
    })
  )

  it.scopedLive("versions are compared as numbers and kept as given, up to the largest safe integer", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      const largest = Number.MAX_SAFE_INTEGER
      yield* mirror.deliver([named("9", 9, "nine")])
      yield* mirror.deliver([named("9", 10, "ten")])
      expect(yield* recordAt(url, "9")).toEqual(mirrored("10", "ten"))
      yield* mirror.deliver([named("1", largest - 1, "before")])
      yield* mirror.deliver([named("1", largest, "largest")])
      yield* mirror.deliver([named("1", largest - 1, "before")])
      expect(yield* recordAt(url, "1")).toEqual(mirrored("9007199254740991", "largest"))
      yield* mirror.deliver([message("2", largest, null)])
      yield* mirror.deliver([named("2", largest - 1, "late")])
      expect(yield* recordAt(url, "2")).toEqual(buried("9007199254740991"))
    })
  )

  it.scopedLive("payloads and ids arrive as they are", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      const payload = '{"name": "Zoë\\r\\n\\u0000 𝄞 \\"x\\"",   "n":1.0}'
      yield* mirror.deliver([message("ä/b:c {d} 🙂", 1, payload)])
      expect(yield* ask(url, "HGET", "customer:ä/b:c {d} 🙂", "json")).toBe(payload)
    })
  )

  it.scopedLive("tombstones stay for ever unless a time is chosen", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([message("42", 2, null)])
      expect(yield* ask(url, "PTTL", "tombstone:{customer:42}")).toBe(-1)
      const brief = yield* mirrorAt(url, { name: "brief", tombstoneTtl: "1 minute" })
      yield* brief.mirror.deliver([message("7", 2, null)])
      const left = Number(yield* ask(url, "PTTL", "tombstone:{customer:7}"))
      expect(left).toBeGreaterThan(50_000)
      expect(left).toBeLessThanOrEqual(60_000)
    })
  )

  it.scopedLive("whatever is sent twice or in another order, the last version of each key shows", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      let run = 0
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(deliveries, (given) =>
            Effect.runPromise(endsInLastState(mirror, url, `${++run}`, given))
          ),
          { numRuns: 150 }
        )
      )
    })
  )
})

interface Deliveries {
  /** For each key whether its version 1, 2, ... was an upsert. */
  readonly histories: ReadonlyArray<ReadonlyArray<boolean>>
  /** Batches of [key, version], as indexes: every version at least once, in any order. */
  readonly batches: ReadonlyArray<ReadonlyArray<readonly [number, number]>>
}

const deliveries: fc.Arbitrary<Deliveries> = fc
  .array(fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 3 })
  .chain((histories) => {
    const all = histories.flatMap((history, key) => history.map((_, version) => [key, version] as const))
    const doubled = fc
      .array(fc.constantFrom(...all), { maxLength: 8 })
      .chain((extra) => fc.shuffledSubarray([...all, ...extra], { minLength: all.length + extra.length }))
    return fc.record({
      histories: fc.constant(histories),
      batches: fc
        .tuple(doubled, fc.integer({ min: 1, max: 5 }))
        .map(([order, size]) =>
          Array.from({ length: Math.ceil(order.length / size) }, (_, at) =>
            order.slice(at * size, (at + 1) * size)
          )
        )
    })
  })

const endsInLastState = (
  mirror: RedisMirror.RedisMirror<"anonymized">,
  url: string,
  run: string,
  { batches, histories }: Deliveries
) =>
  Effect.gen(function* () {
    const id = (key: number) => `${run}-${key}`
    const messageOf = ([key, version]: readonly [number, number]): Message.Message =>
      histories[key]?.[version] === true
        ? named(id(key), version + 1, `v${version + 1}`)
        : message(id(key), version + 1, null)
    for (const batch of batches) {
      expect(yield* mirror.deliver(batch.map(messageOf))).toEqual([])
    }
    for (const [key, history] of histories.entries()) {
      const last = `${history.length}`
      const expected = history.at(-1) === true ? mirrored(last, `v${last}`) : buried(last)
      expect(yield* recordAt(url, id(key))).toEqual(expected)
    }
  })

describe("what a mirror refuses", () => {
  it.scopedLive("a key of another type is refused with all its messages, and nobody else's", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* ask(url, "SET", "customer:bad", "secret value")
      yield* ask(url, "RPUSH", "tombstone:{customer:worse}", "secret value")
      const bad = [named("bad", 1, "x"), named("bad", 2, "y")]
      const worse = message("worse", 1, null)
      const rejections = yield* mirror.deliver([bad[0]!, named("good", 1, "g"), bad[1]!, worse])
      expect(rejections.map(({ messageId, reason, retryable }) => [messageId, reason, retryable])).toEqual([
        [bad[0]!.id, "WrongType", false],
        [bad[1]!.id, "WrongType", false],
        [worse.id, "WrongType", false]
      ])
      expect(JSON.stringify(rejections)).not.toMatch(/secret|"x"|"y"/)
      expect(yield* recordAt(url, "good")).toEqual(mirrored("1", "g"))
      expect(yield* ask(url, "GET", "customer:bad")).toBe("secret value")
    })
  )

  it.scopedLive("a version that is no number is refused, and left as it is", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* ask(url, "HSET", "customer:odd", "version", "secret", "json", "{}")
      const odd = named("odd", 1, "x")
      const [rejection] = yield* mirror.deliver([odd])
      expect(rejection).toMatchObject({ messageId: odd.id, reason: "UnreadableVersion", retryable: false })
      expect(rejection?.error).not.toContain("secret")
      expect(yield* ask(url, "HGET", "customer:odd", "version")).toBe("secret")
    })
  )

  it.scopedLive("a payload over the limit is refused unless a newer message overtakes it", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const { mirror } = yield* mirrorAt(url, { maxPayloadBytes: 40 })
      const large = named("42", 2, "é".repeat(20))
      const rejections = yield* mirror.deliver([named("42", 1, "a"), large, named("7", 1, "b")])
      expect(rejections).toEqual([
        { messageId: large.id, reason: "PayloadTooLarge", error: expect.any(String), retryable: false }
      ])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("1", "a"))
      expect(yield* recordAt(url, "7")).toEqual(mirrored("1", "b"))
      expect(yield* mirror.deliver([large, named("42", 3, "c")])).toEqual([])
      expect(yield* recordAt(url, "42")).toEqual(mirrored("3", "c"))
    })
  )
})

describe("names and views", () => {
  it.scopedLive("originals go to keys of their own", () =>
    Effect.gen(function* () {
      const { connection, mirror, url } = yield* onFreshRedis
      const originals = yield* using(connection)(
        RedisMirror.originals({ topics: [customerOriginals], isNew: true })
      )
      yield* mirror.deliver([named("42", 1, "pseudonym")])
      yield* originals.deliver([named("42", 1, "person")])
      expect(yield* ask(url, "HGET", "customer:42", "json")).toBe('{"name":"pseudonym"}')
      expect(yield* ask(url, "HGET", "customer_v2:42", "json")).toBe('{"name":"person"}')
      yield* originals.deliver([message("42", 2, null)])
      expect(yield* ask(url, "GET", "tombstone:{customer_v2:42}")).toBe("2")
    })
  )

  it.scopedLive("the prefix can be chosen", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const { mirror } = yield* mirrorAt(url, { prefixOf: (stream) => `shop:${stream}` })
      yield* mirror.deliver([named("42", 1, "a")])
      expect(yield* ask(url, "HGET", "shop:customer:42", "version")).toBe("1")
    })
  )

  it("a mirror of one view cannot be given topics of the other", () => {
    const accepted = [
      () => RedisMirror.make({ topics: [customers], isNew: true }),
      () => RedisMirror.originals({ topics: [customerOriginals], isNew: true })
    ]
    const refused = [
      // @ts-expect-error an original topic in an anonymized mirror
      () => RedisMirror.make({ topics: [customerOriginals], isNew: true }),
      // @ts-expect-error one original topic among others
      () => RedisMirror.make({ topics: [customers, customerOriginals], isNew: true }),
      // @ts-expect-error an anonymized topic in a mirror of originals
      () => RedisMirror.originals({ topics: [customers], isNew: true })
    ]
    expect(accepted.length + refused.length).toBe(5)
  })
})

describe("what a batch costs", () => {
  it.scopedLive("one round trip, with one call for each key", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const connection = yield* connect(url)
      const sizes: Array<number> = []
      const counted = {
        ...connection,
        pipeline: (commands: Parameters<typeof connection.pipeline>[0]) => {
          sizes.push(commands.length)
          return connection.pipeline(commands)
        }
      }
      const mirror = yield* using(counted)(RedisMirror.make({ topics: [customers], isNew: true }))
      sizes.length = 0
      const batch = Array.from({ length: 500 }, (_, at) =>
        named(`${at % 100}`, 1 + Math.floor(at / 100), "x")
      )
      yield* mirror.deliver(batch)
      // 100 keys, and the marker.
      expect(sizes).toEqual([101])
    })
  )

  it.scopedLive("what changed nothing is counted", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const name = `counted-${url}`
      const { mirror } = yield* mirrorAt(url, { name })
      const count = (metric: typeof MirrorMetrics.stale) =>
        Effect.map(Metric.value(Metric.tagged(metric, "sink", name)), (state) => state.count)
      yield* mirror.deliver([named("1", 1, "a"), named("1", 2, "b"), named("2", 1, "c")])
      yield* mirror.deliver([named("1", 2, "b"), named("3", 1, "d")])
      expect(yield* count(MirrorMetrics.applied)).toBe(3)
      expect(yield* count(MirrorMetrics.stale)).toBe(2)
    })
  )
})

describe("new, lost and rebuilt", () => {
  it.scopedLive("a mirror is new while the outbox has no sink of its name", () =>
    Effect.gen(function* () {
      const store = yield* OutboxStore.OutboxStore
      expect(yield* RedisMirror.isNew()).toBe(true)
      yield* store.registerSinks([{ name: "another", topics: [], isMirror: false }])
      expect(yield* RedisMirror.isNew()).toBe(true)
      yield* store.registerSinks([{ name: RedisMirror.defaultName, topics: ["customers"], isMirror: true }])
      expect(yield* RedisMirror.isNew()).toBe(false)
    }).pipe(Effect.provide(OutboxMemory.layer))
  )

  it.scopedLive("a mirror that is not new and finds no marker is not ready until it is marked", () =>
    Effect.gen(function* () {
      const { url } = yield* testRedis
      const { connection, mirror } = yield* mirrorAt(url, { isNew: false })
      expect(yield* mirror.ready).toBe(false)
      expect((yield* Effect.flip(mirror.deliver([named("1", 1, "a")]))).reason).toBe("NotReady")
      yield* using(connection)(RedisMirror.markReady())
      expect(yield* mirror.ready).toBe(true)
      expect(yield* mirror.deliver([named("1", 1, "a")])).toEqual([])
    })
  )

  it.scopedLive("a mirror that loses its data in one piece is not ready until it is marked", () =>
    Effect.gen(function* () {
      const { connection, mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("1", 1, "a")])
      expect(yield* mirror.ready).toBe(true)
      yield* ask(url, "FLUSHDB")
      expect(yield* mirror.ready).toBe(false)
      const lost = yield* Effect.flip(mirror.deliver([named("2", 1, "b")]))
      expect(lost).toMatchObject({ _tag: "SinkError", reason: "NotReady", retryable: true })
      expect((yield* Effect.flip(mirror.deliver([]))).reason).toBe("NotReady")
      yield* using(connection)(RedisMirror.markReady())
      expect(yield* mirror.ready).toBe(true)
      expect(yield* mirror.deliver([named("2", 1, "b")])).toEqual([])
    })
  )

  it.scopedLive("a second process that starts as new leaves the marker of the first", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      yield* mirror.deliver([named("1", 1, "a")])
      const before = yield* redisCommands(url, [["HGETALL", "twinbox:mirror:redis-mirror"]])
      const second = yield* mirrorAt(url)
      expect(yield* redisCommands(url, [["HGETALL", "twinbox:mirror:redis-mirror"]])).toEqual(before)
      expect(yield* second.mirror.deliver([named("1", 2, "b")])).toEqual([])
      expect(yield* mirror.deliver([named("1", 3, "c")])).toEqual([])
      expect(yield* mirror.ready).toBe(true)
    })
  )

  it.scopedLive("mirrors of other names are not touched by the loss of one", () =>
    Effect.gen(function* () {
      const { mirror, url } = yield* onFreshRedis
      const other = yield* mirrorAt(url, { name: "other" })
      yield* ask(url, "DEL", "twinbox:mirror:other")
      expect(yield* other.mirror.ready).toBe(false)
      expect(yield* mirror.ready).toBe(true)
      expect(yield* mirror.deliver([named(Key.idOf("customer/1"), 1, "a")])).toEqual([])
    })
  )
})
