import { Backoff, Key, RemoteWrite } from "@twinbox/outbox"
import { Cause, Effect, Exit, Metric, Option, Schedule } from "effect"
import * as Indexes from "./Indexes.ts"
import { listingValues } from "./RecordLua.ts"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import type { RedisOutboxKeys } from "./RedisOutboxKeys.ts"
import * as RedisOutboxMetrics from "./RedisOutboxMetrics.ts"
import * as RedisScript from "./RedisScript.ts"
import type { WriteLogEntry } from "./WriteLogEntry.ts"
import * as WriteLogScripts from "./WriteLogScripts.ts"

export interface Options {
  readonly keys: RedisOutboxKeys
  readonly stream: string
  readonly indexes: Indexes.Indexes
  /** 0: for ever. */
  readonly tombstoneMillis: number
  readonly concurrency: number
  readonly maxDeliveries: number
  readonly maxRefused: number
}

type Failure = RemoteWrite.Undecided | RedisError

/** How often the state is read again, when the mirror keeps seeing newer ones, before a write is given again. */
const maxReadings = 5

const betweenTries = Backoff.between("20 millis", "5 seconds")

const overtaken = new RemoteWrite.Undecided({
  operation: "current",
  cause: { message: "the record changes faster than it can be read" }
})

/** What stands against giving a write to MongoDB at all. */
const refusalOf = (
  { write }: WriteLogEntry,
  attempts: number,
  maxDeliveries: number
): RemoteWrite.Refusal | undefined => {
  if (write === undefined) return "Invalid"
  return attempts > maxDeliveries ? "Failed" : undefined
}

/** Makes the work on one entry of the log: until MongoDB has decided on it and Redis has taken note. */
export const make = (options: Options) =>
  Effect.gen(function* () {
    const { indexes, keys, maxDeliveries, stream } = options
    const redis = yield* RedisConnection
    const remote = yield* RemoteWrite.RemoteWrites
    const permits = yield* Effect.makeSemaphore(options.concurrency)
    const maxRefused = String(options.maxRefused)
    const appliedHere = Metric.tagged(RedisOutboxMetrics.applied, "stream", stream)
    const refusedHere = Metric.tagged(RedisOutboxMetrics.refused, "stream", stream)
    const retriedHere = Metric.tagged(RedisOutboxMetrics.retried, "stream", stream)
    /** Whether the log says already that writes have to wait. */
    let isHeldUp = false

    const run = (
      script: RedisScript.RedisScript,
      names: ReadonlyArray<string>,
      values: ReadonlyArray<string>
    ) => Effect.provideService(RedisScript.run(script, names, values), RedisConnection, redis)

    const count = (refusal: RemoteWrite.Refusal | undefined) =>
      refusal === undefined
        ? Metric.increment(appliedHere)
        : Metric.increment(Metric.tagged(refusedHere, "reason", refusal))

    const reject = ({ position }: WriteLogEntry, attempts: number) =>
      run(
        WriteLogScripts.reject,
        [keys.log, keys.refused],
        [WriteLogScripts.group, position, "Invalid", String(attempts), maxRefused]
      )

    const resolveWith = (
      position: string,
      id: string,
      { payload, version }: RemoteWrite.State,
      refusal: RemoteWrite.Refusal | undefined,
      attempts: number
    ) => {
      const pairs = payload === null ? [] : Indexes.pairs(indexes, JSON.parse(payload))
      return run(
        WriteLogScripts.resolve,
        [keys.data(id), keys.tombstone(id), keys.ids, keys.log, keys.refused],
        [
          WriteLogScripts.group,
          position,
          String(version),
          payload === null ? "" : "1",
          payload ?? "",
          String(options.tombstoneMillis),
          refusal ?? "",
          String(attempts),
          maxRefused,
          ...listingValues(keys.prefix, id, pairs)
        ]
      )
    }

    const resolve = (
      { position }: WriteLogEntry,
      key: Key.Key,
      verdict: RemoteWrite.Verdict,
      attempts: number
    ) =>
      Effect.gen(function* () {
        const refusal = verdict._tag === "Refused" ? verdict.reason : undefined
        let state = verdict.state
        for (let readings = 0; readings <= maxReadings; readings++) {
          const reply = yield* resolveWith(position, Key.idOf(key), state, refusal, attempts)
          if (reply === "Resolved") return refusal
          state = yield* remote.current(key)
        }
        return yield* overtaken
      })

    const decide = (entry: WriteLogEntry, key: Key.Key, attempts: number) => {
      const refusal = refusalOf(entry, attempts, maxDeliveries)
      if (refusal === undefined && entry.write !== undefined) return remote.apply(entry.write)
      const reason = refusal ?? "Invalid"
      return Effect.map(remote.current(key), (state): RemoteWrite.Verdict => ({
        _tag: "Refused",
        reason,
        state
      }))
    }

    const attempt = (entry: WriteLogEntry, attempts: number): Effect.Effect<void, Failure> =>
      Effect.gen(function* () {
        const { key } = entry
        if (key === undefined) {
          yield* reject(entry, attempts)
          return yield* count("Invalid")
        }
        const verdict = yield* decide(entry, key, attempts)
        yield* count(yield* resolve(entry, key, verdict, attempts))
      })

    const noteFailure = (cause: Cause.Cause<Failure>) =>
      Effect.suspend(() => {
        const failure = Option.getOrUndefined(Cause.failureOption(cause))
        if (failure === undefined) {
          // Its text may quote the document.
          const defect = Cause.squash(cause)
          return Effect.logError(
            `a write of '${stream}' met a fault of the program, and is tried again`
          ).pipe(Effect.annotateLogs({ defect: defect instanceof Error ? defect.name : typeof defect }))
        }
        if (isHeldUp) return Effect.void
        isHeldUp = true
        return Effect.logWarning(`writes of '${stream}' wait: ${failure.message}`)
      })

    const noteSuccess = Effect.suspend(() => {
      if (!isHeldUp) return Effect.void
      isHeldUp = false
      return Effect.logInfo(`writes of '${stream}' go on`)
    })

    return (entry: WriteLogEntry, stopping: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.gen(function* () {
        const pause = yield* Schedule.driver(betweenTries)
        let attempts = entry.deliveries
        while (true) {
          const exit = yield* Effect.exit(permits.withPermits(1)(attempt(entry, attempts)))
          if (Exit.isSuccess(exit)) return yield* noteSuccess
          yield* noteFailure(exit.cause)
          // A fault of the program is like a reader that died of this write.
          if (Option.isNone(Cause.failureOption(exit.cause))) attempts += 1
          const goesOn = yield* Effect.raceFirst(
            Effect.as(Effect.orDie(pause.next(undefined)), true),
            Effect.as(stopping, false)
          )
          if (!goesOn) return
          yield* Metric.increment(retriedHere)
        }
      })
  })
