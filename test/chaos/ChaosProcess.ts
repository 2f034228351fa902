import { type ChildProcess, spawn } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duration, Effect, Fiber, Option, type Scope } from "effect"

export interface Options {
  readonly name: string
  /** The file to run. */
  readonly program: string
  /** Its settings; `start` counts its starts, from 1. */
  readonly env: (start: number) => Readonly<Record<string, string>>
}

/** A process that is started again whenever it has ended, as a service manager would. */
export interface ChaosProcess {
  readonly name: string
  /** Ends it without a word, and has it started again after a while. False: it was down already. */
  readonly kill: (downMillis: number) => Effect.Effect<boolean>
  /** Keeps it from running for a while, without its knowledge. */
  readonly freeze: (forMillis: number) => Effect.Effect<void>
  /** Asks it to end, and makes it when it does not. False: it had to be made to. */
  readonly stop: Effect.Effect<boolean>
  /** How often it has been started. */
  readonly starts: () => number
  /** What it printed last, each time that it ended though nobody asked it to. */
  readonly failures: () => ReadonlyArray<string>
  /** The end of what it has printed. */
  readonly lastWords: () => string
}

/** Pause before a process that ended by itself is started again. */
const pauseMillis = 500

/** Patience with a clean end. */
const stopWithin = Duration.seconds(15)

/** Characters of output that are kept. */
const longestOutput = 20_000

/** Of these, so many tell why it ended. */
const longestReason = 3_000

/** What a fresh shell has, with the compiled modules kept between starts. */
const environment = (): NodeJS.ProcessEnv => ({
  PATH: process.env["PATH"],
  HOME: process.env["HOME"],
  NODE_COMPILE_CACHE: join(tmpdir(), "twinbox-test-compile-cache")
})

/** One life of a process. */
interface Life {
  readonly child: ChildProcess
  readonly ended: Effect.Effect<void>
  /** Pause before the next life; undefined while nobody has asked it to end. */
  downMillis: number | undefined
}

class Supervised {
  starts = 0
  readonly failures: Array<string> = []
  output = ""
  life: Life | undefined
  readonly #options: Options

  constructor(options: Options) {
    this.#options = options
  }

  begin(): Life {
    const { env, program } = this.#options
    this.starts += 1
    const child = spawn(process.execPath, ["--conditions=twinbox-source", program], {
      env: { ...environment(), ...env(this.starts) },
      // Its input ends when this process does, however that comes: by that it knows.
      stdio: ["pipe", "pipe", "pipe"]
    })
    const ended = new Promise<void>((resolve) => {
      child.once("close", () => resolve())
      child.once("error", () => resolve())
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.output = (this.output + chunk.toString()).slice(-longestOutput)
      })
    }
    return (this.life = { child, ended: Effect.promise(() => ended), downMillis: undefined })
  }

  /** Notes the end of a life, and tells the pause before the next. */
  end({ downMillis }: Life): Duration.Duration {
    this.life = undefined
    if (downMillis === undefined) this.failures.push(this.output.slice(-longestReason).trim())
    return Duration.millis(downMillis ?? pauseMillis)
  }
}

const liveOnce = (supervised: Supervised) =>
  Effect.acquireUseRelease(
    Effect.sync(() => supervised.begin()),
    (life) =>
      Effect.zipRight(
        life.ended,
        Effect.sync(() => supervised.end(life))
      ),
    (life) => Effect.suspend(() => (life.child.kill("SIGKILL"), life.ended))
  )

/** Sends a signal that ends it, sooner or later. */
const endBy = (supervised: Supervised, signal: NodeJS.Signals, downMillis: number) =>
  Effect.suspend(() => {
    const { life } = supervised
    if (life === undefined) return Effect.succeed(false)
    life.downMillis = downMillis
    life.child.kill(signal)
    return Effect.as(life.ended, true)
  })

const signal = (supervised: Supervised, name: NodeJS.Signals) =>
  Effect.sync(() => void supervised.life?.child.kill(name))

/** Starts it, and keeps it running until the end of the scope. */
export const make = (options: Options): Effect.Effect<ChaosProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const supervised = new Supervised(options)
    const lives = yield* liveOnce(supervised).pipe(
      Effect.flatMap(Effect.sleep),
      Effect.forever,
      Effect.forkScoped
    )
    const stop = endBy(supervised, "SIGTERM", Infinity).pipe(
      Effect.timeoutOption(stopWithin),
      Effect.map(Option.isSome),
      Effect.zipLeft(Fiber.interrupt(lives))
    )
    return {
      name: options.name,
      kill: (downMillis) => endBy(supervised, "SIGKILL", downMillis),
      freeze: (forMillis) =>
        Effect.acquireUseRelease(
          signal(supervised, "SIGSTOP"),
          () => Effect.sleep(Duration.millis(forMillis)),
          () => signal(supervised, "SIGCONT")
        ),
      stop,
      starts: () => supervised.starts,
      failures: () => supervised.failures,
      lastWords: () => supervised.output
    }
  })
