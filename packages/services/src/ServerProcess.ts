import { existsSync, mkdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { Duration, Effect, Option, Schedule } from "effect"
import { awaitGone, endProcess } from "./ProcessEnd.ts"
import { freePort, isPortFree } from "./FreePort.ts"
import { lastWords, logTail } from "./LastWords.ts"
import { isAlive, type ProcessIdentity, sendSignal } from "./ProcessIdentity.ts"
import type { Report } from "./Report.ts"
import { readServerRecord, writeServerRecord } from "./ServerRecord.ts"
import type { ServerProgram } from "./ServerProgram.ts"
import { ServiceError, type ServiceName } from "./ServiceError.ts"
import { spawnDetached } from "./SpawnDetached.ts"

/** What one server process is made of. */
export interface ServerProcessSpec {
  readonly service: ServiceName
  readonly program: ServerProgram
  /** Its own folder: `server.json`, `server.log`, and `data` in it. */
  readonly folder: string
  /** The port to use; otherwise the one used last, otherwise a free one. */
  readonly port: Option.Option<number>
  /** What it needs in its folder before each start. */
  readonly prepare?: (port: number, dataFolder: string) => Effect.Effect<void, Error>
  readonly arguments: (port: number, dataFolder: string) => ReadonlyArray<string>
  /** Succeeds when the server on this port answers. */
  readonly probe: (port: number) => Effect.Effect<void, ServiceError>
  readonly startTimeout: Duration.DurationInput
  readonly stopTimeout: Duration.DurationInput
  readonly report: Report
}

/** The controls of one server process that this package started: what chaos tests turn. */
export interface ServerProcess {
  /** Its port on 127.0.0.1; stays the same over stop and start. Zero before the first start. */
  readonly port: () => number
  /** The process id; none while it is stopped or has died. */
  readonly pid: Effect.Effect<Option.Option<number>>
  /** Sends a signal. After SIGKILL this waits until the process is gone. */
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void, ServiceError>
  /** Ends the process cleanly; nothing to do when it is not running. */
  readonly stop: Effect.Effect<void, ServiceError>
  /** Starts it on the same port with the same data, and waits until it answers. */
  readonly start: Effect.Effect<void, ServiceError>
  /** Stop, then start; with `wipe` its data is deleted in between. */
  readonly restart: (options?: { readonly wipe?: boolean }) => Effect.Effect<void, ServiceError>
}

/** Logs larger than this are begun anew at the next start. */
const longestLogBytes = 10 * 1024 * 1024

/** How long a server left over from a killed run may take to show that it is well. */
const adoptTimeout: Duration.DurationInput = "5 seconds"

/** How often another port is tried when somebody else was faster to bind the chosen one. */
const portAttempts = 3

const probeEvery = Schedule.spaced("25 millis")

interface State {
  port: number
  process: Option.Option<ProcessIdentity>
}

const living = (state: State): Option.Option<ProcessIdentity> => Option.filter(state.process, isAlive)

const remember = (spec: ServerProcessSpec, state: State): void =>
  writeServerRecord(spec.folder, {
    port: state.port,
    program: spec.program.path,
    version: spec.program.version,
    process: Option.getOrNull(state.process)
  })

const dataFolderOf = (spec: ServerProcessSpec): string => join(spec.folder, "data")
const logFileOf = (spec: ServerProcessSpec): string => join(spec.folder, "server.log")

const didNotStart = (spec: ServerProcessSpec, what: string) =>
  Effect.flatMap(logTail(logFileOf(spec)), (log) => {
    const told = lastWords(log)
    const message = `${spec.service} did not start: ${what}${told === "" ? "" : ` (its last words: ${told})`}; its log is ${logFileOf(spec)}.`
    return new ServiceError({ service: spec.service, reason: "DidNotStart", message, retryable: false })
  })

const spawnServer = (spec: ServerProcessSpec, state: State): Effect.Effect<void, ServiceError> =>
  Effect.suspend(() => {
    const logFile = logFileOf(spec)
    mkdirSync(dataFolderOf(spec), { recursive: true })
    if (existsSync(logFile) && statSync(logFile).size > longestLogBytes) rmSync(logFile)
    const prepared = spec.prepare?.(state.port, dataFolderOf(spec)) ?? Effect.void
    const spawned = spawnDetached({
      program: spec.program.path,
      arguments: spec.arguments(state.port, dataFolderOf(spec)),
      folder: spec.folder,
      logFile,
      onSpawn: (identity) => {
        state.process = Option.some(identity)
        remember(spec, state)
      }
    })
    return Effect.zipRight(prepared, spawned)
  }).pipe(Effect.catchAll((error) => didNotStart(spec, error.message)))

const awaitReady = (spec: ServerProcessSpec, state: State): Effect.Effect<void, ServiceError> =>
  spec.probe(state.port).pipe(
    Effect.retry({ schedule: probeEvery, while: () => Option.isSome(living(state)) }),
    Effect.catchAll(() => didNotStart(spec, "it ended at once")),
    Effect.timeoutOption(spec.startTimeout),
    Effect.flatMap(
      Option.match({
        onSome: () => Effect.void,
        onNone: () => didNotStart(spec, `it did not answer within ${Duration.format(spec.startTimeout)}`)
      })
    )
  )

const stopServer = (spec: ServerProcessSpec, state: State): Effect.Effect<void, ServiceError> =>
  Effect.gen(function* () {
    const process = living(state)
    const gone = Option.isNone(process) || (yield* endProcess(process.value, spec.stopTimeout))
    if (!gone) {
      const message = `${spec.service} (process ${Option.getOrThrow(process).pid}) could not be ended: end it by hand.`
      return yield* new ServiceError({
        service: spec.service,
        reason: "StopFailed",
        message,
        retryable: true
      })
    }
    state.process = Option.none()
    // The folder may have been removed by hand meanwhile.
    if (existsSync(spec.folder)) remember(spec, state)
  }).pipe(Effect.uninterruptible)

/** Takes over a server that a killed run left, or that another app runs; false when there is none that is well. */
const adopt = (spec: ServerProcessSpec, state: State): Effect.Effect<boolean, ServiceError> =>
  Effect.gen(function* () {
    const record = Option.getOrUndefined(readServerRecord(spec.folder))
    if (record === undefined || record.process === null || !isAlive(record.process)) return false
    state.port = record.port
    state.process = Option.some(record.process)
    const well = yield* spec
      .probe(record.port)
      .pipe(
        Effect.retry({ schedule: probeEvery, while: () => Option.isSome(living(state)) }),
        Effect.timeout(adoptTimeout),
        Effect.isSuccess
      )
    if (well && Option.isSome(living(state))) {
      yield* spec.report(`${spec.service}: using the server that already runs on this data`)
      return true
    }
    yield* spec.report(`${spec.service}: stopping a server left over from an earlier run`)
    yield* stopServer(spec, state)
    return false
  })

const choosePort = (spec: ServerProcessSpec): Effect.Effect<number> =>
  Effect.gen(function* () {
    if (Option.isSome(spec.port)) return spec.port.value
    const last = Option.map(readServerRecord(spec.folder), (record) => record.port)
    if (Option.isSome(last) && last.value > 0 && (yield* isPortFree(last.value))) return last.value
    return yield* freePort
  })

const launch = (spec: ServerProcessSpec, state: State) =>
  Effect.zipRight(spawnServer(spec, state), awaitReady(spec, state))

const launchOnSomePort = (
  spec: ServerProcessSpec,
  state: State,
  attempts: number
): Effect.Effect<void, ServiceError> =>
  Effect.gen(function* () {
    state.port = yield* choosePort(spec)
    yield* launch(spec, state).pipe(
      Effect.catchAll((error) =>
        Effect.gen(function* () {
          const ended = Option.isNone(living(state))
          yield* stopServer(spec, state)
          const taken = ended && !(yield* isPortFree(state.port))
          if (!taken || attempts <= 1) return yield* error
          yield* launchOnSomePort(spec, state, attempts - 1)
        })
      )
    )
  })

const firstStart = (spec: ServerProcessSpec, state: State): Effect.Effect<void, ServiceError> =>
  Effect.gen(function* () {
    mkdirSync(spec.folder, { recursive: true })
    if (!(yield* adopt(spec, state))) yield* launchOnSomePort(spec, state, portAttempts)
  })

/** The system can hold a port for a moment longer than the process that was killed. */
const portIsFree = (port: number) =>
  isPortFree(port).pipe(
    Effect.repeat({ until: (isFree) => isFree, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOption("5 seconds")
  )

const startAgain = (spec: ServerProcessSpec, state: State): Effect.Effect<void, ServiceError> =>
  Option.isSome(living(state))
    ? awaitReady(spec, state)
    : Effect.zipRight(portIsFree(state.port), launch(spec, state))

const sendTo = (spec: ServerProcessSpec, state: State, signal: NodeJS.Signals) =>
  Effect.gen(function* () {
    const process = living(state)
    if (Option.isNone(process)) return
    sendSignal(process.value, signal)
    if (signal !== "SIGKILL" || (yield* awaitGone(process.value, spec.stopTimeout))) return
    const message = `${spec.service} (process ${process.value.pid}) is still there after SIGKILL.`
    return yield* new ServiceError({ service: spec.service, reason: "StopFailed", message, retryable: true })
  })

/** The controls of one server process; nothing runs before its `start`. */
export const makeServerProcess = (spec: ServerProcessSpec): ServerProcess => {
  const state: State = { port: 0, process: Option.none() }
  const oneAtATime = Effect.unsafeMakeSemaphore(1).withPermits(1)
  const start = Effect.suspend(() => (state.port === 0 ? firstStart(spec, state) : startAgain(spec, state)))
  const wipe = Effect.sync(() => rmSync(dataFolderOf(spec), { recursive: true, force: true }))
  return {
    port: () => state.port,
    pid: Effect.sync(() => Option.map(living(state), (process) => process.pid)),
    kill: (signal) => sendTo(spec, state, signal),
    stop: oneAtATime(stopServer(spec, state)),
    start: oneAtATime(start),
    restart: (options) =>
      oneAtATime(
        stopServer(spec, state).pipe(
          Effect.zipRight(Effect.when(wipe, () => options?.wipe === true)),
          Effect.zipRight(start)
        )
      )
  }
}
