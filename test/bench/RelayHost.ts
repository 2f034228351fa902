import type { ChildProcess } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import * as BenchProcess from "./BenchProcess.ts"
import type { RelaySettings, Reply, Report, Request } from "./RelayProtocol.ts"

/** A process with room for one relay. It goes on between relays, so that a later one finds the code compiled. */
export interface RelayHost {
  /** Returns when the relay has its connections; it has no slots yet. */
  readonly start: (settings: RelaySettings) => Effect.Effect<void>
  /** Returns when the relay has given its slots back and left. */
  readonly stop: Effect.Effect<void>
  readonly report: Effect.Effect<Report>
}

/** Patience with a process that was asked to end. */
const stopWithin = "10 seconds"

const program = fileURLToPath(new URL("RelayProcess.ts", import.meta.url))

/** Keeps what a reply holds as it is, `undefined` and dates too. */
const spawn = (nodeOptions: ReadonlyArray<string>) =>
  BenchProcess.start(program, [], nodeOptions, { serialization: "advanced" })

const end = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGTERM")
  }).pipe(
    Effect.interruptible,
    Effect.timeoutTo({
      duration: stopWithin,
      onSuccess: () => undefined,
      onTimeout: () => void child.kill("SIGKILL")
    })
  )

const ask = (child: ChildProcess, request: Request) =>
  Effect.async<Report>((resume) => {
    const over = (reply: Effect.Effect<Report>) => {
      child.off("message", onMessage)
      child.off("exit", onExit)
      resume(reply)
    }
    const onExit = () => over(Effect.dieMessage("a relay's process has ended"))
    const onMessage = (message: unknown) => {
      const reply = message as Reply
      over(reply._tag === "Done" ? Effect.succeed(reply.report) : Effect.dieMessage(reply.reason))
    }
    child.once("message", onMessage)
    child.once("exit", onExit)
    if (!child.connected) return onExit()
    child.send(request)
    // An answer that nobody waits for would be taken for that of the next request.
  }).pipe(Effect.uninterruptible)

/** Starts the process, with these options of Node beside those of the bench; it ends with the scope. */
export const make = (nodeOptions: ReadonlyArray<string> = []): Effect.Effect<RelayHost, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(nodeOptions)),
      end
    )
    const turn = yield* Effect.makeSemaphore(1)
    const call = (request: Request) => turn.withPermits(1)(ask(child, request))
    return {
      start: (settings) => Effect.asVoid(call({ _tag: "Start", settings })),
      stop: Effect.asVoid(call({ _tag: "Stop" })),
      report: call({ _tag: "Report" })
    }
  })
