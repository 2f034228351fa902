import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MongoDatabase, MongoIndexes, MongoOutboxStore, Transaction } from "@twinbox/mongodb"
import { type Message, type OutboxStore, Slot } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Logger, LogLevel, Redacted } from "effect"
import { testMongo } from "../../../test/setup/testServers.ts"

const program = new URL("../src/Main.ts", import.meta.url).pathname

/** Names that would lead the command away from what a test gives it. */
const foreign =
  /^(MONGODB_URI|REDIS_URL|ANONYMIZE_|SYNC_|TWINBOX_CONFIG|TWO_WAY|NODE_OPTIONS|NO_COLOR|VITEST|npm_)/

const environment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name))),
  NODE_COMPILE_CACHE: join(tmpdir(), "twinbox-test-compile-cache")
})

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The command as a process of its own, without a terminal; killed at the end of the scope if it still runs. */
export const start = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
  folder: string = tmpdir()
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(process.execPath, ["--conditions=twinbox-source", program, ...args], {
          cwd: folder,
          env: { ...environment(), ...env },
          stdio: ["ignore", "pipe", "pipe"]
        })
        const output = { stdout: "", stderr: "" }
        for (const name of ["stdout", "stderr"] as const) {
          child[name].on("data", (chunk: Buffer) => (output[name] += chunk.toString()))
        }
        const ended = once(child, "close").then(([code]): Ended => ({
          code: code as number | null,
          ...output
        }))
        return { child, ended }
      }),
      ({ child, ended }) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return ended
        })
    ),
    ({ child, ended }) => ({
      ended: Effect.promise(() => ended),
      signal: (name: NodeJS.Signals) => Effect.sync(() => child.kill(name))
    })
  )

/** Runs the command to its end. */
export const run = (...given: Parameters<typeof start>) =>
  Effect.scoped(Effect.flatMap(start(...given), ({ ended }) => ended))

/** The `script` of util-linux gives a program a terminal; others of that name have other options. */
export const hasTerminal =
  spawnSync("script", ["--version"]).stdout?.toString().includes("util-linux") ?? false

/** Runs the command on a terminal, types the answer when it has asked, and returns all that was shown. */
export const runOnTerminal = <E>(
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  answer: Effect.Effect<string, E>
) =>
  Effect.gen(function* () {
    const command = [process.execPath, "--conditions=twinbox-source", program, ...args]
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("script", ["-qec", command.map((word) => `'${word}'`).join(" "), "/dev/null"], {
          cwd: tmpdir(),
          env: { ...environment(), ...env }
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const ended = once(child, "close")
    let shown = ""
    child.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()))
    yield* Effect.repeat(Effect.sleep("20 millis"), {
      until: () => shown.includes("[y/N]") || child.exitCode !== null
    })
    child.stdin.write(yield* answer)
    const [code] = (yield* Effect.promise(() => ended)) as [number | null]
    return { code, shown }
  }).pipe(Effect.scoped)

/** An empty folder. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "twinbox-cli-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

/** A personal detail that is in every payload, and must be in no output. */
export const secret = "ann@example.org"

export interface Died {
  readonly id: string
  readonly key: string
  readonly sink: string
  readonly sequence?: number
  readonly fields?: Partial<OutboxStore.DeadLetter>
}

/** Dead letters of one minute after another, from 1 November 2026 on. */
export const firstDeath = Date.parse("2026-11-01T00:00:00Z")
const minute = 60_000

const deadLetter = (
  message: Message.Message,
  { fields, sink }: Died,
  at: number
): OutboxStore.DeadLetter => ({
  messageId: message.id,
  slot: message.slot,
  sink,
  reason: "Rejected",
  error: "the sink refused it",
  attempts: 3,
  blocks: true,
  history: [{ at: firstDeath - minute, reason: "Rejected", error: "refused before" }],
  at: firstDeath + at * minute,
  ...fields
})

/** An outbox of the test's own, a relay that has all its slots, and the command over it. */
export const outbox = Effect.gen(function* () {
  const { database: name, uri } = yield* testMongo
  const database = yield* MongoDatabase.make({ uri: Redacted.make(uri), database: name })
  const inDatabase = Effect.provideService(MongoDatabase.MongoDatabase, database)
  yield* Logger.withMinimumLogLevel(inDatabase(MongoIndexes.ensure), LogLevel.Warning)
  const store = yield* inDatabase(MongoOutboxStore.make({ keepDelivered: "1 hour" }))
  yield* store.join("relay-a", 5_000)
  const slots = yield* store.claim("relay-a", Slot.all)
  const lease = { owner: "relay-a", epochs: new Map(slots.map(({ epoch, slot }) => [slot, epoch])) }

  const append = (fields: ReadonlyArray<MessageFixture.Fields>) => {
    const messages = fields.map((field) =>
      MessageFixture.make({ payload: JSON.stringify({ email: secret }), ...field })
    )
    return Effect.as(inDatabase(Transaction.run(store.append(messages))), messages)
  }
  /** Messages that one sink gave up on, and no other sink owes. */
  const die = (died: ReadonlyArray<Died>) =>
    Effect.gen(function* () {
      const messages = yield* append(
        died.map(({ id, key, sequence }) => ({ id, key, sequence: sequence ?? 1 }))
      )
      yield* store.settle(
        lease,
        messages.map((message, at) => ({
          messageId: message.id,
          slot: message.slot,
          behind: [],
          dead: died.slice(at, at + 1).map((one) => deadLetter(message, one, at))
        }))
      )
    })
  const leaveBehind = (messages: ReadonlyArray<Message.Message>, sink: string) =>
    store.settle(
      lease,
      messages.map(({ id, slot }) => ({ messageId: id, slot, behind: [sink], dead: [] }))
    )

  const env = { MONGODB_URI: uri }
  return {
    name,
    uri,
    db: database.db,
    client: database.client,
    store,
    append,
    die,
    leaveBehind,
    /** Ids of dead letters that are left, oldest first. */
    dead: Effect.promise(() => database.db.collection("outbox_dead").find().sort({ at: 1 }).toArray()).pipe(
      Effect.map((records) => records.map((record) => `${record["messageId"]}:${record["sink"]}`))
    ),
    /** Ids of the messages that a sink owes. */
    owed: (sink: string) =>
      Effect.promise(() =>
        database.db.collection("outbox").find({ behind: sink }).sort({ _id: 1 }).toArray()
      ).pipe(Effect.map((records) => records.map(({ _id }) => String(_id)))),
    run: (...args: ReadonlyArray<string>) => run([...args, "--database", name], env),
    runOnTerminal: <E>(args: ReadonlyArray<string>, answer: Effect.Effect<string, E>) =>
      runOnTerminal([...args, "--database", name], env, answer),
    start: (...args: ReadonlyArray<string>) => start([...args, "--database", name], env)
  }
})

/** The document that a command printed, which must be all that it printed. */
export const document = ({ code, stderr, stdout }: Ended): unknown => {
  if (code !== 0 || stderr !== "") throw new Error(`ended with ${code}: ${stderr}`)
  return JSON.parse(stdout)
}

/** What a command that was successful told people. */
export const text = ({ code, stderr, stdout }: Ended): string => {
  if (code !== 0 || stderr !== "") throw new Error(`ended with ${code}: ${stderr}`)
  return stdout
}
