import { Clock, Duration, Effect, Exit, Fiber, Metric, type MetricPair } from "effect"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import { OutboxStore, type SinkStats, type Stats } from "./OutboxStore.ts"

export interface Options {
  /** How old the counts may be: the store is read no more often than this, whoever asks. Default 10 seconds. */
  readonly maxAge?: Duration.DurationInput
  /** Time limit of one reading. Default 5 seconds. */
  readonly within?: Duration.DurationInput
}

export interface OutboxGauges {
  /**
   * All metrics of this process; those of `OutboxMetrics` that tell about the outbox itself are no older than
   * `maxAge`. When the store does not answer they are left out, but for `twinbox_outbox_up`, which is 0.
   */
  readonly snapshot: Effect.Effect<ReadonlyArray<MetricPair.MetricPair.Untyped>>
}

const defaults = { maxAge: Duration.seconds(10), within: Duration.seconds(5) }

const nothing: SinkStats = { behind: 0, dead: 0, blockedKeys: 0, oldestCreatedAt: undefined }

const setFor = (sink: string, metric: Metric.Metric.Gauge<number>, value: number) =>
  Metric.set(Metric.tagged(metric, "sink", sink), value)

const setAge = (sink: string, oldestCreatedAt: number | undefined, now: number) =>
  setFor(sink, OutboxMetrics.oldestAge, Math.max(0, now - (oldestCreatedAt ?? now)) / 1000)

const setSink = (name: string, stats: SinkStats, now: number) =>
  Effect.all([
    setFor(name, OutboxMetrics.behind, stats.behind),
    setFor(name, OutboxMetrics.deadLetters, stats.dead),
    setFor(name, OutboxMetrics.blockedKeys, stats.blockedKeys),
    setAge(name, stats.oldestCreatedAt, now)
  ])

/** Of the counts about the outbox, which a store that is away cannot tell. */
const isCount = ({ metricKey: { name } }: MetricPair.MetricPair.Untyped): boolean =>
  name.startsWith("twinbox_outbox_") && name !== "twinbox_outbox_up"

/** Reads the counts from the store in the context, only when they are asked for. */
export const make = (given: Options = {}): Effect.Effect<OutboxGauges, never, OutboxStore> =>
  Effect.gen(function* () {
    const store = yield* OutboxStore
    const { maxAge, within } = { ...defaults, ...given }
    /** A gauge cannot be taken back, so that of a sink that is no longer there must fall to 0. */
    const known = new Set<string>()

    const set = (stats: Stats, now: number) => {
      for (const name of stats.sinks.keys()) known.add(name)
      return Effect.all([
        Metric.set(OutboxMetrics.depth, stats.ready),
        setAge("*", stats.oldestCreatedAt, now),
        Effect.forEach(known, (name) => setSink(name, stats.sinks.get(name) ?? nothing, now))
      ])
    }

    const counted = Effect.gen(function* () {
      // A reading that does not end is left behind: drivers cannot always be interrupted.
      const stats = yield* Effect.timeout(Effect.disconnect(store.stats), within)
      yield* set(stats, yield* Clock.currentTimeMillis)
    })
    const read = counted.pipe(
      Effect.tapErrorCause((cause) => Effect.logDebug("the outbox could not be read", cause)),
      Effect.exit,
      Effect.map(Exit.isSuccess),
      Effect.tap((isUp) => Metric.set(OutboxMetrics.up, isUp ? 1 : 0))
    )
    // In a fiber of its own: who goes away must not spoil the reading for the others who wait for it.
    const reading = yield* Effect.cachedWithTTL(Effect.forkDaemon(Effect.interruptible(read)), maxAge)

    // Not `Fiber.join`, which would put the reading's context in the place of the asker's.
    const isUp = Effect.flatten(Effect.flatMap(reading, Fiber.await))

    const snapshot = Effect.zipWith(isUp, Metric.snapshot, (isUp, pairs) =>
      isUp ? pairs : pairs.filter((pair) => !isCount(pair))
    )
    return { snapshot }
  })
