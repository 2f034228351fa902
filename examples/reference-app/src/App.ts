import type { FileSystem } from "@effect/platform/FileSystem"
import type { Path } from "@effect/platform/Path"
import type { MongoOutbox } from "@twinbox/mongodb"
import { Data, Duration, Effect, Either, Exit, Fiber, Layer, Option, Scope } from "effect"
import { EventKafka } from "./EventKafka.ts"
import { MirrorRedis } from "./MirrorRedis.ts"
import { Readiness, Unready } from "./Readiness.ts"
import { RoleFailures, type RoleError } from "./RoleFailures.ts"
import { isWhole, type Need, type RoleName, wants, without } from "./Roles.ts"
import { Screen } from "./Screen.ts"
import { Settings } from "./Settings.ts"
import type { StatusBoard } from "./StatusBoard.ts"
import * as StatusLine from "./StatusLine.ts"
import { StopSignal } from "./StopSignal.ts"
import * as Summary from "./Summary.ts"

/** What every role finds when it starts. */
export type Environment =
  | EventKafka
  | FileSystem
  | MirrorRedis
  | MongoOutbox.Services
  | Path
  | Readiness
  | RoleFailures
  | Screen
  | Settings
  | StatusBoard
  | StopSignal

/** The layers of all roles, with what is theirs alone already provided. */
export type RoleLayers = Readonly<Record<RoleName, Layer.Layer<never, RoleError, Environment>>>

/** The counts at the end do not agree. */
export class Disagreement extends Data.TaggedError("Disagreement")<{ readonly message: string }> {}

/** A role that does not stop in time is left behind: what it has not committed is not there, what it has is safe. */
const roleStopsWithin = Duration.millis(3_600)

interface Running {
  readonly name: RoleName
  readonly scope: Scope.CloseableScope
}

/** Leaves out what cannot run without a server that is not there. */
const leaveOut = (chosen: ReadonlyArray<RoleName>, server: Need, absent: RoleError) =>
  Effect.gen(function* () {
    if (!wants(chosen, server)) return chosen
    const left = without(chosen, server)
    if (left.length === 0) return yield* Effect.fail(absent)
    const missing = chosen.filter((name) => !left.includes(name))
    const what = missing.length === 0 ? server : missing.join(", ")
    yield* Effect.logWarning(`running without ${what}: ${absent.message}`)
    return left
  })

/** What of the chosen roles this machine can carry. */
const startable = (chosen: ReadonlyArray<RoleName>) =>
  Effect.gen(function* () {
    const redis = yield* MirrorRedis
    const kafka = yield* EventKafka
    const left = Either.isRight(redis) ? chosen : yield* leaveOut(chosen, "Redis", redis.left)
    return Either.isRight(kafka) ? left : yield* leaveOut(left, "Kafka", kafka.left)
  })

/** Starts roles one after the other, the last of the list first; layers that several of them use are built once. */
const startAll = (chosen: ReadonlyArray<RoleName>, layers: RoleLayers) =>
  Effect.gen(function* () {
    const memo = yield* Layer.makeMemoMap
    const parent = yield* Effect.scope
    const running: Array<Running> = []
    for (const name of chosen.toReversed()) {
      const scope = yield* Scope.fork(parent, parent.strategy)
      yield* Layer.buildWithMemoMap(layers[name], memo, scope)
      running.unshift({ name, scope })
    }
    return running
  })

const stop = ({ name, scope }: Running) =>
  Scope.close(scope, Exit.void).pipe(
    Effect.disconnect,
    Effect.timeoutOption(roleStopsWithin),
    Effect.flatMap(
      Option.match({
        onSome: () => Effect.logDebug(`${name} has stopped`),
        onNone: () => Effect.logWarning(`${name} did not stop in time and was left behind`)
      })
    )
  )

const conclude = (chosen: ReadonlyArray<RoleName>) =>
  Effect.gen(function* () {
    const summary = yield* Effect.mapError(
      Summary.count,
      (error) => new Disagreement({ message: `there is no summary: ${error.message}` })
    )
    const { agrees, sentence } = Summary.judge(summary, isWhole(chosen))
    yield* report(summary, sentence)
    if (!agrees) return yield* new Disagreement({ message: sentence })
    return undefined
  })

const report = (summary: Summary.Summary, sentence: string) =>
  Effect.gen(function* () {
    const screen = yield* Screen
    const { logFormat } = yield* Settings
    if (logFormat === "json") {
      const { mirrored, ...counts } = summary
      yield* Effect.logInfo(sentence).pipe(
        Effect.annotateLogs({ ...counts, mirrored: Option.getOrNull(mirrored) })
      )
    } else for (const line of [...Summary.render(summary), `  ${sentence}`]) screen.line(line)
  })

type Phase = "starting" | "running" | "stopping"

/** A process is not ready while it starts or stops, or once a role has failed; the result notes what it is doing. */
const checkRoles = Effect.gen(function* () {
  const readiness = yield* Readiness
  const failures = yield* RoleFailures
  let current: Phase = "starting"
  const check = Effect.gen(function* () {
    if (current !== "running") return yield* new Unready({ reason: `the app is ${current}` })
    if (Option.isSome(yield* failures.poll)) return yield* new Unready({ reason: "a role has failed" })
    return undefined
  })
  yield* readiness.add("roles", check)
  return (phase: Phase) =>
    Effect.sync(() => {
      current = phase
    })
})

/**
 * Runs roles until the program is to stop or one of them fails. Then they stop in their order: what writes
 * first, then what carries; the counts come last, when nothing of this process is moving any more.
 */
export const run = (wanted: ReadonlyArray<RoleName>, layers: RoleLayers) =>
  Effect.scoped(
    Effect.gen(function* () {
      const signal = yield* StopSignal
      const failures = yield* RoleFailures
      const chosen = yield* startable(wanted)
      const enter = yield* checkRoles
      const running = yield* startAll(chosen, layers)
      yield* signal.takeOver
      yield* enter("running")
      yield* Effect.logInfo(`running: ${chosen.join(", ")}; Ctrl-C stops`)
      const status = yield* Effect.forkScoped(StatusLine.run)
      yield* Effect.raceFirst(signal.received, failures.first).pipe(
        Effect.onExit(() => Fiber.interrupt(status))
      )
      yield* enter("stopping")
      yield* Effect.logInfo("stopping: what is under way is finished and delivered first")
      yield* Effect.forEach(running, stop, { discard: true })
      yield* conclude(chosen)
    })
  )
