import type { MongoDatabase } from "@twinbox/mongodb"
import { Backoff } from "@twinbox/outbox"
import { Clock, Duration, Effect, Fiber, Layer, Metric } from "effect"
import type { BoundedLines } from "./BoundedLines.ts"
import { LogBuffer } from "./LogBuffer.ts"
import * as LogStore from "./LogStore.ts"

/** Lines that were not stored: MongoDB was away, too slow for them, or refused them. */
export const dropped = Metric.counter("twinbox_log_lines_dropped_total", {
  description: "Log lines that were not stored",
  incremental: true
})

export interface Options {
  /** How long lines gather before they are written together. Default 200 milliseconds. */
  readonly gather?: Duration.DurationInput
  /** How long a stop waits until all lines are stored. Default half a second. */
  readonly flushWithin?: Duration.DurationInput
  /** How often it is told that lines were dropped, at most. Default once a minute. */
  readonly tellEvery?: Duration.DurationInput
}

const defaults = {
  gather: Duration.millis(200),
  flushWithin: Duration.millis(500),
  tellEvery: Duration.minutes(1)
}

/** Lines of one write. */
const maxBatch = 1_000

const pauses = Backoff.between("200 millis", "5 seconds")

/** Counts the lines that are missing in the store, and tells of them in a line that belongs to no request itself. */
const makeTeller = (lines: BoundedLines, every: Duration.DurationInput) => {
  let untold = 0
  let toldAt = Number.NEGATIVE_INFINITY
  const count = Effect.suspend(() => {
    const more = lines.takeDropped()
    untold += more
    return more === 0 ? Effect.void : Metric.incrementBy(dropped, more)
  })
  const tell = Effect.gen(function* () {
    yield* count
    if (untold === 0) return
    const told = untold
    untold = 0
    toldAt = yield* Clock.currentTimeMillis
    yield* Effect.logWarning(`${told} log lines were not stored: MongoDB did not take them`)
  })
  const isTooSoon = Effect.map(Clock.currentTimeMillis, (now) => now - toldAt < Duration.toMillis(every))
  return { count, tell, tellSometimes: Effect.if(isTooSoon, { onTrue: () => count, onFalse: () => tell }) }
}

/** Writes the oldest lines. What MongoDB refuses for good is dropped. */
const writeBatch = (lines: BoundedLines, store: LogStore.LogStore) =>
  Effect.suspend(() => {
    const batch = lines.oldest(maxBatch)
    if (batch.length === 0) return Effect.void
    return store.insert(batch).pipe(
      Effect.map(() => lines.remove(batch.length)),
      Effect.catchIf(
        ({ retryable }) => !retryable,
        () => Effect.sync(() => lines.drop(batch.length))
      )
    )
  })

const start = (options: Options) =>
  Effect.gen(function* () {
    const { flushWithin, gather, tellEvery } = { ...defaults, ...options }
    const lines = yield* LogBuffer
    const store = yield* LogStore.make
    const { count, tell, tellSometimes } = makeTeller(lines, tellEvery)
    let isEnsured = false
    const ensure = Effect.suspend(() => (isEnsured ? Effect.void : store.ensure)).pipe(
      Effect.map(() => {
        isEnsured = true
      })
    )
    const patiently = <A>(effect: Effect.Effect<A, LogStore.LogStoreError>) =>
      effect.pipe(
        Effect.tapError(() => count),
        Effect.retry({ while: ({ retryable }) => retryable, schedule: pauses })
      )
    /** Few lines wait for more of them, many do not. */
    const gathered = Effect.zipRight(
      lines.filled,
      Effect.suspend(() => (lines.size < maxBatch ? Effect.sleep(gather) : Effect.void))
    )
    const write = writeBatch(lines, store)
    const dropAll = Effect.sync(() => lines.drop(lines.size))

    const run = Effect.zipRight(
      patiently(ensure),
      Effect.forever(gathered.pipe(Effect.zipRight(patiently(write)), Effect.zipRight(tellSometimes)))
    ).pipe(
      Effect.catchAll(({ message }) =>
        Effect.zipRight(
          Effect.logWarning(`no log lines are stored: ${message}`),
          Effect.forever(gathered.pipe(Effect.zipRight(dropAll), Effect.zipRight(count)))
        )
      )
    )
    const flush = Effect.zipRight(ensure, Effect.repeat(write, { while: () => lines.size > 0 })).pipe(
      Effect.disconnect,
      Effect.timeout(flushWithin),
      Effect.interruptible,
      Effect.catchAll(() => dropAll)
    )
    yield* Effect.acquireRelease(Effect.forkDaemon(Effect.interruptible(run)), (fiber) =>
      Fiber.interrupt(fiber).pipe(Effect.zipRight(flush), Effect.zipRight(tell))
    )
  })

/** Brings the lines of the buffer to MongoDB until its scope ends, and then, if it can, what is left of them. */
export const layer = (
  options: Options = {}
): Layer.Layer<never, never, LogBuffer | MongoDatabase.MongoDatabase> => Layer.scopedDiscard(start(options))
