import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { resetData } from "@twinbox/services"
import { Effect } from "effect"

const root = new URL("../..", import.meta.url).pathname

/** Names that would lead the app away from what a test gives it. */
const foreign =
  /^(API_TOKENS|EXPORT_|INGEST_|KAFKA|MONGODB_URI|REDIS_URL|ANONYMIZE_|FAKER_|LOG_|SYNC_|TWINBOX_DATA|TWO_WAY|HOST$|PORT$|npm_|NODE_OPTIONS|VITEST)/

/**
 * What a fresh shell would have, with the compiled modules kept between starts, and a free port for each app. Without a
 * Kafka, which takes seconds and half a gigabyte: who needs one says so.
 */
const cleanEnvironment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name))),
  NODE_COMPILE_CACHE: join(tmpdir(), "twinbox-test-compile-cache"),
  KAFKA: "off",
  PORT: "0"
})

/** The command of `npm start`, to be run from any folder: without npm, a start is half a second faster. */
const startArguments = (): ReadonlyArray<string> => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly scripts: Readonly<Record<string, string>>
  }
  const words = (scripts["start"] ?? "").split(" ").filter((word) => word !== "exec" && word !== "node")
  return words.map((word) => (word.endsWith(".ts") ? join(root, word) : word))
}

export interface AppOptions {
  readonly env: Readonly<Record<string, string>>
  readonly args?: ReadonlyArray<string>
  /** Through npm, as people do; the folder is the project's then. Default false. */
  readonly throughNpm?: boolean
  /** Where it looks for `.env` and `.data`. Default: an empty folder. */
  readonly folder?: string
}

export interface AppExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const patienceMillis = 60_000

/** The reference app as a process of its own, with what it has printed. */
export class AppProcess {
  readonly exit: Promise<AppExit>
  readonly #child: ChildProcess
  #output = ""
  #hasExited = false

  constructor(options: AppOptions, folder: string) {
    const [program, args] =
      options.throughNpm === true
        ? ["npm", ["start", "--", ...(options.args ?? [])]]
        : [process.execPath, [...startArguments(), ...(options.args ?? [])]]
    this.#child = spawn(program, args, {
      cwd: options.throughNpm === true ? root : folder,
      env: { ...cleanEnvironment(), ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      // A process group of its own, as the terminal makes one: signals to the group reach npm and the app.
      detached: true
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.#output += chunk.toString()
      })
    }
    this.exit = once(this.#child, "close").then(([code, signal]) => {
      this.#hasExited = true
      return { code, signal } as AppExit
    })
  }

  /** All that it has printed so far. */
  get output(): string {
    return this.#output
  }

  get hasExited(): boolean {
    return this.#hasExited
  }

  /** Sends a signal to the whole group, as Ctrl-C on a terminal does. */
  signal(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined || this.#hasExited) return
    try {
      process.kill(-this.#child.pid, signal)
    } catch (error) {
      // It has just ended.
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error
    }
  }

  /** Waits until it has printed something, and gives the match. */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    const deadline = performance.now() + patienceMillis
    for (;;) {
      const match = pattern.exec(this.#output)
      if (match !== null) return match
      if (this.#hasExited || performance.now() > deadline) {
        throw new Error(`the app did not print ${pattern}; it printed:\n${this.#output}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** An empty folder outside of the project; servers that still run on it are stopped when it goes. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "twinbox-app-"))),
  (folder) =>
    Effect.zipRight(
      Effect.ignoreLogged(resetData(join(folder, ".data"))),
      Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
)

/** Starts the app; at the end of the scope it is killed, if it still runs. */
export const startApp = (options: AppOptions) =>
  Effect.gen(function* () {
    const folder = options.folder ?? (yield* temporaryFolder)
    return yield* Effect.acquireRelease(
      Effect.sync(() => new AppProcess(options, folder)),
      (app) =>
        Effect.promise(() => {
          app.signal("SIGKILL")
          return app.exit
        })
    )
  })

/** Waits for the end of the app, which must be by itself and with this exit code. */
export const endsWith = (app: AppProcess, code: number) =>
  Effect.promise(async () => {
    const exit = await app.exit
    if (exit.code !== code) {
      throw new Error(`ended with ${exit.signal ?? exit.code}, not ${code}, and printed:\n${app.output}`)
    }
  })

/** The counts of the closing summary. */
export const summaryOf = (output: string): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...output.matchAll(/^ {2}(originals|twins|mirrored|outbox|given up) +([\d,]+)$/gm)].map(
      ([, name, count]) => [name ?? "", Number(count?.replaceAll(",", ""))]
    )
  )
