import { describe, expect, it } from "@effect/vitest"
import { OutboxGauges, OutboxMemory, OutboxStore } from "@twinbox/outbox"
import { Context, Effect, Fiber, type MetricPair, type MetricState, TestClock } from "effect"

type Stats = OutboxStore.Stats

const stats = (changes: Partial<Stats> = {}): Stats => ({
  ready: 3,
  behind: 2,
  dead: 1,
  scheduled: 0,
  delivered: 0,
  oldestCreatedAt: -5_000,
  sinks: new Map([["mirror", { behind: 2, dead: 1, blockedKeys: 1, oldestCreatedAt: -2_500 }]]),
  ...changes
})

/** A store of which only `stats` matters, with a count of how often it was read. */
const gaugesOver = (answer: () => OutboxStore.OutboxStore["Type"]["stats"]) =>
  Effect.gen(function* () {
    let readings = 0
    const memory = yield* OutboxStore.OutboxStore
    const store = OutboxStore.OutboxStore.of({
      ...memory,
      stats: Effect.suspend(() => {
        readings += 1
        return answer()
      })
    })
    const gauges = yield* Effect.provideService(OutboxGauges.make(), OutboxStore.OutboxStore, store)
    return { read: Effect.map(gauges.snapshot, ofOutbox), readings: () => readings }
  }).pipe(Effect.provide(OutboxMemory.layer))

/** Metrics are the whole process's: those of other sinks may be left of other tests. */
const sinks: ReadonlySet<string> = new Set(["", "*", "mirror"])

/** The gauges about the outbox, as `name{sink}`. */
const ofOutbox = (pairs: ReadonlyArray<MetricPair.MetricPair.Untyped>): Readonly<Record<string, number>> =>
  Object.fromEntries(
    pairs
      .filter(({ metricKey }) => metricKey.name.startsWith("twinbox_outbox_"))
      .map(({ metricKey: { name, tags }, metricState }) => ({
        name: name.slice("twinbox_outbox_".length),
        sink: tags.map(({ value }) => value).join(),
        value: (metricState as MetricState.MetricState.Gauge<number>).value
      }))
      .filter(({ sink }) => sinks.has(sink))
      .map(({ name, sink, value }) => [`${name}{${sink}}`, value])
  )

/** Something of an asker's own. */
class Asker extends Context.Tag("Asker")<Asker, string>() {}

describe("The gauges about the outbox", () => {
  it.effect("tell what the store counts, for each sink", () =>
    Effect.gen(function* () {
      const { read } = yield* gaugesOver(() => Effect.succeed(stats()))
      expect(yield* read).toEqual({
        "up{}": 1,
        "depth{}": 3,
        "oldest_age_seconds{*}": 5,
        "behind{mirror}": 2,
        "dead{mirror}": 1,
        "blocked_keys{mirror}": 1,
        "oldest_age_seconds{mirror}": 2.5
      })
    })
  )

  it.effect("fall to 0 when nothing waits, when a writer's clock is ahead, and when a sink is removed", () =>
    Effect.gen(function* () {
      let current = stats()
      const { read } = yield* gaugesOver(() => Effect.succeed(current))
      yield* read
      current = stats({ ready: 0, oldestCreatedAt: 60_000, sinks: new Map() })
      yield* TestClock.adjust("10 seconds")
      expect(yield* read).toEqual({
        "up{}": 1,
        "depth{}": 0,
        "oldest_age_seconds{*}": 0,
        "behind{mirror}": 0,
        "dead{mirror}": 0,
        "blocked_keys{mirror}": 0,
        "oldest_age_seconds{mirror}": 0
      })
      current = stats({ oldestCreatedAt: undefined })
      yield* TestClock.adjust("10 seconds")
      expect(yield* read).toMatchObject({ "depth{}": 3, "oldest_age_seconds{*}": 0, "behind{mirror}": 2 })
    })
  )

  it.effect("are read once in ten seconds, however many ask", () =>
    Effect.gen(function* () {
      const { read, readings } = yield* gaugesOver(() => Effect.delay(Effect.succeed(stats()), "1 second"))
      const askers = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 50 }, () => Effect.zipRight(read, Asker)),
          { concurrency: 50 }
        ).pipe(Effect.provideService(Asker, "somebody"))
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(askers)
      yield* TestClock.adjust("8 seconds")
      yield* read
      expect(readings()).toBe(1)
      yield* TestClock.adjust("1 second")
      const later = yield* Effect.fork(read)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(later)
      expect(readings()).toBe(2)
    })
  )

  it.effect("are not spoilt by somebody who asks and goes away", () =>
    Effect.gen(function* () {
      const { read, readings } = yield* gaugesOver(() => Effect.delay(Effect.succeed(stats()), "1 second"))
      const impatient = yield* Effect.fork(read)
      yield* TestClock.adjust("100 millis")
      yield* Effect.fork(Fiber.interrupt(impatient))
      const patient = yield* Effect.fork(read)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(patient)).toMatchObject({ "up{}": 1, "depth{}": 3 })
      expect(readings()).toBe(1)
    })
  )

  it.effect.each([
    ["fails", Effect.fail("away")],
    ["dies", Effect.die("broken")],
    ["never answers, and cannot be interrupted", Effect.uninterruptible(Effect.never)]
  ] as const)("are left out while the store %s", ([, trouble]) =>
    Effect.gen(function* () {
      let isAway = false
      const { read } = yield* gaugesOver(() =>
        isAway ? (trouble as Effect.Effect<never>) : Effect.succeed(stats())
      )
      yield* read
      isAway = true
      yield* TestClock.adjust("10 seconds")
      const reading = yield* Effect.fork(read)
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(reading)).toEqual({ "up{}": 0 })
      isAway = false
      yield* TestClock.adjust("10 seconds")
      expect(yield* read).toMatchObject({ "up{}": 1, "depth{}": 3 })
    })
  )
})
