import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { expect, it } from "@effect/vitest"
import { MongoOutbox } from "@twinbox/mongodb"
import { Config, Duration, Effect, Layer, Random, Redacted, Schedule } from "effect"
import {
  type Foreign,
  makeSync,
  messagesByKey,
  notInStep,
  upTo,
  using
} from "../../packages/repository/test/sync/testSync.ts"
import { mongoWithShortLivedLocks } from "../setup/shortLivedLocks.ts"

/*
 * The short form of a longer run: SYNC_CUSTOMERS=200000 SYNC_KILLS=10 npx vitest run test/chaos/syncKills.test.ts
 */

const customers = Config.withDefault(Config.integer("SYNC_CUSTOMERS"), 4_000)
const kills = Config.withDefault(Config.integer("SYNC_KILLS"), 4)
const seed = Config.withDefault(
  Config.integer("SYNC_SEED"),
  Effect.runSync(Random.nextIntBetween(0, 1_000_000))
)

const database = "kills"

/** Documents of a page and of a transaction: many of each, however many customers there are. */
const batchSize = (count: number) => Math.min(1_000, Math.ceil(count / 100))

/** What is left over when the writer has ended; how long that takes depends on the machine. */
const inStepWithin = "3 minutes"

const start = (file: string, args: ReadonlyArray<string>) =>
  spawn(
    process.execPath,
    ["--conditions=twinbox-source", fileURLToPath(new URL(file, import.meta.url)), ...args],
    { stdio: ["pipe", "pipe", "inherit"] }
  )

/** A process with what it prints, which is killed at the end of the scope. */
const running = (file: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => new Running(start(file, args))),
    (process) => process.kill
  )

class Running {
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  output = ""
  lines = 0

  constructor(child: ChildProcess) {
    this.#child = child
    this.#closed = once(child, "close")
    child.stdout?.on("data", (chunk: Buffer) => {
      const text = chunk.toString()
      this.lines += text.split("\n").length - 1
      this.output = (this.output + text).slice(-1_000)
    })
  }

  /** How it ended: a code or a signal. */
  get end(): Effect.Effect<number | string | null> {
    return Effect.map(
      Effect.promise(() => this.#closed),
      () => this.#child.signalCode ?? this.#child.exitCode
    )
  }

  endInput(): void {
    this.#child.stdin?.end()
  }

  get kill(): Effect.Effect<number | string | null> {
    return Effect.suspend(() => {
      this.#child.kill("SIGKILL")
      return this.end
    })
  }

  /** Waits until it has printed so many lines. */
  printed(lines: number): Effect.Effect<void> {
    return Effect.repeat(
      Effect.sync(() => this.lines >= lines),
      { until: (yes) => yes, schedule: Schedule.spaced("5 millis") }
    )
  }
}

const withoutVersion = (payload: unknown): string =>
  payload === null ? "null" : JSON.stringify({ ...(JSON.parse(String(payload)) as object), version: 0 })

/**
 * What is wrong with the messages: the versions of a key have to rise one by one, no two in a row may tell the same, and
 * the newest tells what the twin is; a customer that was inserted and never changed has one.
 */
const wrongMessages = (count: number) =>
  Effect.gen(function* () {
    const messages = yield* messagesByKey
    const twins = new Map(
      (yield* using("customers_anonymised", (found) => found.find({}).toArray())).map((twin) => [
        twin._id,
        twin
      ])
    )
    return upTo(count).flatMap((at) => {
      const id = `customer-${at}`
      const all = messages.get(`customer/${id}`) ?? []
      const { fingerprint, keyVersion, ...twin }: Partial<Foreign> = twins.get(id) ?? {}
      const last = all.at(-1)
      const payload = last === undefined ? null : last["payload"]
      const faults = [
        ...all.flatMap(({ sequence }, index) => (sequence === index + 1 ? [] : ["versions"])),
        ...all.flatMap((message, index) =>
          index > 0 && withoutVersion(message["payload"]) === withoutVersion(all[index - 1]?.["payload"])
            ? ["told twice"]
            : []
        ),
        ...(at % 2 === 0 && all.length !== 1 ? ["not one"] : []),
        ...(payload === (twins.has(id) ? JSON.stringify(twin) : null) ? [] : ["not the newest"])
      ]
      return faults.length === 0 ? [] : [`${id}: ${faults.join(", ")}`]
    })
  })

it.scopedLive(
  "Two syncs, killed in turn while a program that knows no twins writes: at the end every original has its twin, and each key's messages rise one by one to the newest",
  () =>
    Effect.gen(function* () {
      const [chosenSeed, count, killCount] = yield* Config.all([seed, customers, kills])
      const { uri } = yield* mongoWithShortLivedLocks
      const size = batchSize(count)
      const instance = (mode: string) => running("syncKillsInstance.ts", [uri, database, mode, String(size)])
      const writer = yield* running("syncKillsWriter.ts", [uri, database, String(count)])
      yield* writer.printed(1)

      // One reindexes until half of the kills. From then on nothing but following makes good what a kill cut off.
      const half = Math.floor(killCount / 2)
      const instances = [yield* instance("follow"), yield* instance("reindex")]
      /** The one that is at work: the other takes over, and is the next. */
      const working = (lines: number) =>
        Effect.raceAll(instances.map((each, at) => Effect.as(each.printed(each.lines + lines), at)))
      yield* Effect.gen(function* () {
        for (let killed = 0; killed < killCount; killed++) {
          const worker = yield* working(1 + (yield* Random.nextIntBetween(0, 3 * size)))
          yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(0, 50)))
          const one = killed === half - 1 ? 1 : worker
          expect(yield* instances[one]?.kill ?? Effect.succeed("nobody")).toBe("SIGKILL")
          instances[one] = yield* instance(one === 1 && killed < half - 1 ? "reindex" : "follow")
        }
      }).pipe(Effect.withRandom(Random.make(chosenSeed)))

      writer.endInput()
      expect(yield* writer.end).toBe(0)
      const done = JSON.parse(writer.output.trim().split("\n").at(-1) ?? "") as Record<string, number>
      yield* Effect.log(`SYNC_SEED=${chosenSeed}: ${JSON.stringify(done)}`)
      expect(done["inserted"]).toBe(count)
      expect(Math.min(...Object.values(done))).toBeGreaterThan(0)

      yield* Effect.gen(function* () {
        const sync = yield* makeSync("customers", { batchSize: 1_000 })
        const verify = sync.verify({ recheckAfter: 0 })
        yield* Effect.repeat(verify, {
          until: ({ standing }) => standing === 0,
          schedule: Schedule.spaced("200 millis")
        }).pipe(Effect.timeoutOption(inStepWithin))
        expect((yield* verify).standing).toBe(0)
        expect(yield* notInStep("customers")).toEqual([])
        expect(yield* wrongMessages(count)).toEqual([])
      }).pipe(
        Effect.provide(
          Layer.orDie(MongoOutbox.layer({ uri: Redacted.make(uri), database, appName: "sync-kills" }))
        )
      )
    }),
  1_800_000
)
