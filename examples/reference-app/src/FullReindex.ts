import { MonotonicClock } from "@twinbox/outbox"
import { ProgressText, SummaryText, type TwinSync } from "@twinbox/repository"
import { Data, Duration, Effect } from "effect"
import { CustomerSync } from "./CustomerSync.ts"
import { Screen } from "./Screen.ts"
import { Settings } from "./Settings.ts"
import { StopSignal } from "./StopSignal.ts"

/** Not all is done. `message` says what to do. */
export class Unfinished extends Data.TaggedError("Unfinished")<{ readonly message: string }> {}

const stopped = new Unfinished({
  message: "stopped; what was done stays so, and the next --full-reindex goes on from here"
})

const logEveryMillis = Duration.toMillis("10 seconds")

/** A live line on a terminal; elsewhere a log line now and then. */
const display = Effect.gen(function* () {
  const screen = yield* Screen
  const { logFormat } = yield* Settings
  if (screen.isTerminal && logFormat === "auto") {
    return (progress: TwinSync.Progress) =>
      Effect.sync(() => screen.live(`reindexing ${ProgressText.bar(progress)}`))
  }
  let loggedMillis = yield* MonotonicClock.millis
  return (progress: TwinSync.Progress) =>
    Effect.flatMap(MonotonicClock.millis, (now) => {
      if (now - loggedMillis < logEveryMillis) return Effect.void
      loggedMillis = now
      const line = Effect.logInfo(`reindexing: ${ProgressText.line(progress)}`)
      return logFormat === "json" ? Effect.annotateLogs(line, { ...progress }) : line
    })
})

const report = ({ run, tally }: TwinSync.ReindexSummary) =>
  Effect.gen(function* () {
    const screen = yield* Screen
    const { logFormat } = yield* Settings
    const sentence = SummaryText.sentence(tally)
    if (logFormat === "json") yield* Effect.annotateLogs(Effect.logInfo(sentence), { run, ...tally })
    else for (const line of [...SummaryText.kinds(tally), sentence]) screen.line(`  ${line}`)
    if (tally.failed > 0) {
      return yield* new Unfinished({ message: `MongoDB refused ${tally.failed} writes; the log names them` })
    }
    return undefined
  })

/** Compares all customers with their twins once, and puts right what differs. */
export const run: Effect.Effect<void, TwinSync.SyncError | Unfinished, CustomerSync | Screen | Settings> =
  Effect.gen(function* () {
    const { reindex } = yield* CustomerSync
    const screen = yield* Screen
    const onProgress = yield* display
    yield* Effect.logInfo("comparing all customers with their twins; Ctrl-C stops")
    const clear = Effect.sync(() => screen.live(undefined))
    yield* report(yield* Effect.ensuring(reindex({ onProgress }), clear))
  })

/** Work that a stop ends before it is done: from its start on, a stop is a failure. */
export const untilStopped = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E | Unfinished, R | StopSignal> =>
  Effect.gen(function* () {
    const signal = yield* StopSignal
    yield* signal.takeOver
    return yield* Effect.raceFirst(work, Effect.zipRight(signal.received, stopped))
  })
