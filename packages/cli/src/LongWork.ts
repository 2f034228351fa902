import { MonotonicClock } from "@twinbox/outbox"
import { ProgressText, type TwinSync } from "@twinbox/repository"
import { Effect } from "effect"
import { Failed } from "./CommandError.ts"
import * as Count from "./Count.ts"
import { Screen } from "./Screen.ts"
import { StopSignal } from "./StopSignal.ts"

/** Is told how far the work is: the `onProgress` of a sync. */
export type OnProgress = (progress: TwinSync.Progress) => Effect.Effect<void>

/** Without a terminal there is a line so often. */
const lineEveryMillis = 10_000

export interface Description {
  /** For the progress: `comparing`. */
  readonly doing: string
  /** What becomes of it after a stop: `the same command goes on from there`. */
  readonly afterStop: string
}

/** A live line on a terminal; elsewhere a line of text now and then, and none for what is done soon. */
const display = (doing: string) =>
  Effect.gen(function* () {
    const screen = yield* Screen
    let toldMillis = yield* MonotonicClock.millis
    const tellSometimes = (text: string) =>
      Effect.map(MonotonicClock.millis, (now) => {
        if (now - toldMillis < lineEveryMillis) return
        toldMillis = now
        screen.tell(`twinbox: ${text}`)
      })
    return (progress: TwinSync.Progress) =>
      screen.hasLive
        ? screen.live(`${doing} ${ProgressText.bar(progress)}`)
        : tellSometimes(`${doing}: ${ProgressText.line(progress)}`)
  })

/**
 * Does long work that can be interrupted at any time, and shows how far it is. When somebody asks for a stop it is
 * interrupted, which lets what is under way in the database end.
 */
export const run = <A, E, R>(
  { afterStop, doing }: Description,
  work: (onProgress: OnProgress) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Failed, R | Screen | StopSignal> =>
  Effect.gen(function* () {
    const screen = yield* Screen
    const stop = yield* StopSignal
    const show = yield* display(doing)
    let done = 0
    const onProgress: OnProgress = (progress) => {
      done = progress.done
      return show(progress)
    }
    const stopped = Effect.zipRight(
      stop.asked,
      Effect.suspend(
        () => new Failed({ message: `stopped after ${Count.of(done, "document")}: ${afterStop}` })
      )
    )
    yield* stop.attend
    return yield* Effect.raceFirst(work(onProgress), stopped).pipe(Effect.ensuring(screen.live(undefined)))
  }).pipe(Effect.scoped)
