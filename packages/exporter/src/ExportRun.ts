import { Cause, Deferred, type Duration, Effect, Exit, Fiber, Option, Stream } from "effect"
import type { FailureReason } from "./ExportError.ts"
import * as ExportSource from "./ExportSource.ts"
import type { EndState } from "./ExportState.ts"
import type { End, ExportStore } from "./ExportStore.ts"
import * as ExportWriter from "./ExportWriter.ts"
import * as Halt from "./Halt.ts"
import * as LiveRecords from "./LiveRecords.ts"
import { retrying, unlessHalted } from "./WhileRedisIsAway.ts"

/** What has become of an export, as the process that wrote it knows it. */
export interface Outcome {
  readonly state: EndState
  readonly failure?: FailureReason
}

export interface Options extends ExportWriter.Options {
  readonly source: ExportSource.ExportSource
  /** Of a live export: its records follow those of the source, and it ends when it is asked to. */
  readonly topic: string | undefined
  /** Succeeds when this process has stopped the export. */
  readonly stopped: Deferred.Deferred<EndState>
  /** How often it is asked whether somebody else has, and what was gathered is shown to readers. */
  readonly pollEvery: Duration.DurationInput
  /** Every how many of those polls say that this process lives. */
  readonly pollsPerHeartbeat: number
  /** How long closing the source, and the last words to Redis, may take. */
  readonly closeWithin: Duration.DurationInput
  /** Does in the background what can be done only when Redis is back. */
  readonly later: (work: Effect.Effect<void>) => Effect.Effect<unknown>
  /** How long that is worth while: then the keys have expired. */
  readonly runningExpiryMillis: number
}

/** Works in finalizers and after an interruption too. */
const briefly =
  (within: Duration.DurationInput) =>
  <A, E>(work: Effect.Effect<A, E>): Effect.Effect<Option.Option<A>> =>
    work.pipe(
      Effect.interruptible,
      Effect.timeout(within),
      Effect.option,
      Effect.catchAllCause(() => Effect.succeedNone)
    )

/** Reads the source to its end, and live records until they are to end. Returns the checksum. */
const produce = (
  store: ExportStore,
  out: ExportWriter.ExportWriter,
  options: Options,
  isAskedToFinish: () => boolean
): Effect.Effect<string, Halt.Halt> =>
  Effect.gen(function* () {
    const { patienceMillis, source, topic, writer } = options
    let isSourceThrough = false
    const begun = yield* retrying(patienceMillis)(store.begin(writer))
    yield* unlessHalted(begun)
    const readSource = ExportSource.toStream(source).pipe(
      Stream.mapError((error) => Halt.failed("SourceFailed", ExportSource.errorName(error))),
      Stream.runForEachChunk(out.write),
      Effect.ensuring(Effect.sync(() => (isSourceThrough = true)))
    )
    const followTopic =
      topic === undefined
        ? Effect.void
        : LiveRecords.write(store, out, {
            id: writer.id,
            topic,
            patienceMillis,
            isEnding: () => isSourceThrough && isAskedToFinish()
          })
    yield* Effect.all([readSource, followTopic], { concurrency: 2, discard: true })
    return yield* out.close
  })

/** Why a run came to its end. What is no `Halt` comes from the source, or is an interruption: of the whole process. */
const haltOf = (cause: Cause.Cause<Halt.Halt>): Halt.Halt => {
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure)) return failure.value
  const defect = Cause.dieOption(cause)
  if (Option.isSome(defect)) return Halt.failed("SourceFailed", ExportSource.errorName(defect.value))
  return Halt.failed("ShutDown")
}

/** These leave nobody to write the rest to. */
const withoutRest: ReadonlySet<FailureReason> = new Set([
  "RedisFull",
  "RedisLost",
  "RedisRefused",
  "DataLost"
])

/**
 * Writes one export from its beginning to its end, and is never interrupted itself: an interruption makes it end as
 * `ShutDown`. First nothing more can be written, then the source is closed.
 */
export const run = (store: ExportStore, options: Options): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { closeWithin, patienceMillis, pollEvery, pollsPerHeartbeat, writer } = options
    const out = yield* ExportWriter.make(store, options)
    const patiently = retrying(patienceMillis)
    let isAskedToFinish = false

    const watch = Effect.gen(function* () {
      for (let polls = 1; ; polls++) {
        yield* Effect.sleep(pollEvery)
        const answer = yield* patiently(store.beat(writer, polls % pollsPerHeartbeat === 0))
        const { _tag } = yield* unlessHalted(answer)
        if (_tag === "Finishing") isAskedToFinish = true
      }
    })
    const show = Effect.forever(Effect.zipRight(Effect.sleep(pollEvery), out.flush))
    const stopped = Effect.flatMap(Deferred.await(options.stopped), Halt.ended)

    const end = (wanted: End) =>
      Effect.map(store.finish(writer.id, writer.token, wanted), (answer): Outcome => {
        if (answer._tag === "Ended") return { state: answer.state }
        if (answer._tag === "Gone") return { state: "FAILED", failure: "DataLost" }
        return { state: wanted.state, ...(wanted.failure === undefined ? {} : { failure: wanted.failure }) }
      })

    const fail = (failure: FailureReason, checksum: Option.Option<string>) =>
      Effect.gen(function* () {
        const wanted: End = { state: "FAILED", failure, checksum: Option.getOrUndefined(checksum) }
        const told = yield* briefly(closeWithin)(patiently(end(wanted)))
        if (Option.isSome(told)) return told.value
        // As soon as Redis is back, unless another instance has seen to it.
        if (failure !== "ShutDown") {
          yield* options.later(Effect.ignore(retrying(options.runningExpiryMillis)(end(wanted))))
        }
        return { state: "FAILED", failure } satisfies Outcome
      })

    const producing = yield* Effect.forkDaemon(
      Effect.interruptible(produce(store, out, options, () => isAskedToFinish))
    )
    const exit = yield* Fiber.join(producing).pipe(
      Effect.raceFirst(watch),
      Effect.raceFirst(show),
      Effect.raceFirst(stopped),
      Effect.interruptible,
      Effect.exit
    )
    yield* Fiber.interruptFork(producing)
    yield* briefly(closeWithin)(Fiber.await(producing))

    if (Exit.isSuccess(exit)) {
      const told = yield* Effect.either(patiently(end({ state: "COMPLETED", checksum: exit.value })))
      return told._tag === "Right" ? told.right : yield* fail("RedisLost", Option.none())
    }
    const { cause } = haltOf(exit.cause)
    if (cause._tag === "Ended") return { state: cause.state }
    const detail = cause.detail === undefined ? "" : `: ${cause.detail}`
    yield* Effect.logWarning(`export ${writer.id} failed, ${cause.reason}${detail}`)
    const rest = withoutRest.has(cause.reason) ? Option.none() : yield* briefly(closeWithin)(out.close)
    return yield* fail(cause.reason, rest)
  }).pipe(Effect.scoped, Effect.uninterruptible)
