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

/** How often it is looked whether lines were dropped. */
const lookEvery = Duration.seconds(1)

const tooSlow = "MongoDB is too slow for them"

/** Counts the lines that are missing in the store, and tells of them in a line that belongs to no request itself. */
const makeLosses = (lines: BoundedLines, every: Duration.DurationInput) => {
  let reason = tooSlow
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
    const line = `${untold} log lines were not stored: ${reason}`
    reason = tooSlow
    untold = 0
    toldAt = yield* Clock.currentTimeMillis
    yield* Effect.logWarning(line)
  })
  const isTooSoon = Effect.map(Clock.currentTimeMillis, (now) => now - toldAt < Duration.toMillis(every))
  return {
    /** Why lines will be missing, or are. */
    blame: ({ message }: LogStore.LogStoreError) =>
      Effect.sync(() => {
        reason = message
      }),
    tell,
    tellSometimes: Effect.if(isTooSoon, { onTrue: () => count, onFalse: () => tell })
  }
}

/** Writes the oldest lines. What MongoDB refuses for good is dropped. */
const writeTo = (store: LogStore.LogStore, lines: BoundedLines) => {
  let isEnsured = false
  const ensure = Effect.suspend(() =>
    isEnsured
      ? Effect.void
      : Effect.map(store.ensure, () => {
          isEnsured = true
        })
  )
  return Effect.suspend(() => {
    const batch = lines.oldest(maxBatch)
    if (batch.length === 0) return Effect.void
    return Effect.zipRight(ensure, store.insert(batch)).pipe(
      Effect.map(() => lines.remove(batch.length)),
      Effect.tapError(({ retryable }) =>
        retryable ? Effect.void : Effect.sync(() => lines.drop(batch.length))
      )
    )
  })
}

const start = (options: Options) =>
  Effect.gen(function* () {
    const { flushWithin, gather, tellEvery } = { ...defaults, ...options }
    const lines = yield* LogBuffer
    const { blame, tell, tellSometimes } = makeLosses(lines, tellEvery)
    const write = Effect.tapError(writeTo(yield* LogStore.make, lines), blame)

    /** Few lines wait for more of them, many do not. */
    const gathered = Effect.zipRight(
      lines.filled,
      Effect.suspend(() => (lines.size < maxBatch ? Effect.sleep(gather) : Effect.void))
    )
    const written = write.pipe(
      Effect.retry({ while: ({ retryable }) => retryable, schedule: pauses }),
      Effect.ignore
    )
    // Apart from the writing, which takes as long as MongoDB does.
    const run = Effect.raceFirst(
      Effect.forever(Effect.zipRight(gathered, written)),
      Effect.forever(Effect.delay(tellSometimes, lookEvery))
    )
    const flush = Effect.repeat(write, { while: () => lines.size > 0 }).pipe(
      Effect.disconnect,
      Effect.timeout(flushWithin),
      Effect.interruptible,
      Effect.catchAll(() => Effect.sync(() => lines.drop(lines.size)))
    )
    yield* Effect.acquireRelease(Effect.forkDaemon(Effect.interruptible(run)), (fiber) =>
      Fiber.interrupt(fiber).pipe(Effect.zipRight(flush), Effect.zipRight(tell))
    )
  })

/** Brings the lines of the buffer to MongoDB until its scope ends, and then, if it can, what is left of them. */
export const layer = (
  options: Options = {}
): Layer.Layer<never, never, LogBuffer | MongoDatabase.MongoDatabase> => Layer.scopedDiscard(start(options))
