import { describe, expect, it, vi } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import type { MongoClient } from "mongodb"
import { failNext } from "../../mongodb/test/testDatabase.ts"
import { appName } from "../src/Connection.ts"
import * as World from "./CliWorld.ts"
import * as InProcess from "./InProcess.ts"

// Some commands are processes: a busy machine takes seconds to start one.
vi.setConfig({ testTimeout: 180_000 })

const { document, text } = World

/** The command runs in this process where neither signals nor a terminal matter. */
const outbox = Effect.map(World.outbox, (world) => ({
  ...world,
  run: (...args: ReadonlyArray<string>) =>
    InProcess.run([...args, "--database", world.name], { MONGODB_URI: world.uri }),
  runProcess: world.run
}))

const threeDead = [
  { id: "a", key: "customer/1", sink: "mirror" },
  { id: "b", key: "customer/2", sink: "mirror" },
  { id: "c", key: "customer/3", sink: "kafka" }
]

/** Letters that take four batches. */
const total = 1_700

/** Until the end of the scope, each batch of the command takes a second. */
const slowCommits = (client: MongoClient) =>
  failNext({ client, db: client.db(appName) }, 1_000, {
    failCommands: ["commitTransaction"],
    blockConnection: true,
    blockTimeMS: 1_000
  })

describe("twinbox requeue", () => {
  it.scopedLive("sends again the letters that are meant, and leaves the others", () =>
    Effect.gen(function* () {
      const { dead, die, owed, run } = yield* outbox
      yield* die(threeDead)
      expect(text(yield* run("requeue", "--id", "a", "--sink", "mirror", "--id=c"))).toBe(
        "1 dead letter requeued\n"
      )
      expect(yield* owed("mirror")).toEqual(["a"])
      expect(yield* dead).toEqual(["b:mirror", "c:kafka"])
      expect(document(yield* run("requeue", "--all", "--json"))).toEqual({
        requeued: 2,
        superseded: 0,
        corrupt: 0
      })
      expect(yield* owed("mirror")).toEqual(["a", "b"])
      expect(yield* owed("kafka")).toEqual(["c"])
      expect(yield* dead).toEqual([])
      expect(text(yield* run("requeue", "--all"))).toBe("no dead letters match\n")
    })
  )

  it.scopedLive("says what it left, and why", () =>
    Effect.gen(function* () {
      const { dead, die, run, store, db } = yield* outbox
      yield* store.registerSinks([{ name: "mirror", topics: ["customer-anonymised"], isMirror: true }])
      yield* die([...threeDead, { id: "d", key: "customer/4", sink: "*", fields: { reason: "Corrupt" } }])
      yield* Effect.promise(() =>
        db
          .collection<{ _id: string; sequence: number }>("outbox_sequences")
          .insertOne({ _id: "customer/1", sequence: 2 })
      )
      const told = text(yield* run("requeue", "--all"))
        .trimEnd()
        .split("\n")
      expect(told).toEqual([
        "2 dead letters requeued",
        expect.stringMatching(/^1 left: .*newest state.*discard/),
        expect.stringMatching(/^1 left: .*no message.*discard/)
      ])
      expect(yield* dead).toEqual(["a:mirror", "d:*"])
    })
  )

  it.scopedLive("changes nothing in a dry run, and counts what it would", () =>
    Effect.gen(function* () {
      const { dead, die, owed, run } = yield* outbox
      yield* die(threeDead)
      expect(text(yield* run("requeue", "--all", "--dry-run")).split("\n")).toEqual([
        expect.stringMatching(/^SINK +REASON +DEAD LETTERS$/),
        expect.stringMatching(/^mirror +Rejected +2$/),
        expect.stringMatching(/^kafka +Rejected +1$/),
        "",
        "3 dead letters would be requeued; nothing was changed",
        ""
      ])
      expect(document(yield* run("requeue", "--sink", "mirror", "--dry-run", "--json"))).toEqual({
        dryRun: true,
        deadLetters: 2,
        groups: [{ sink: "mirror", reason: "Rejected", deadLetters: 2 }]
      })
      expect(yield* dead).toHaveLength(3)
      expect(yield* owed("mirror")).toEqual([])
    })
  )

  it.scopedLive("stops after the batch under way on Ctrl-C, says how far it came, and can be repeated", () =>
    Effect.gen(function* () {
      const { client, dead, die, run, start } = yield* outbox
      yield* die(
        Array.from({ length: total }, (_, at) => ({ id: `m${at}`, key: `customer/${at}`, sink: "mirror" }))
      )
      const { deadLetters } = document(yield* run("dead", "--all", "--json")) as {
        readonly deadLetters: ReadonlyArray<unknown>
      }
      expect(deadLetters).toHaveLength(total)
      const { code, stderr, stdout } = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* slowCommits(client)
          const { ended, signal } = yield* start("requeue", "--all")
          yield* Effect.repeat(dead, {
            until: (letters) => letters.length < total,
            schedule: Schedule.spaced("20 millis")
          })
          yield* signal("SIGINT")
          return yield* ended
        })
      )
      const told = /^twinbox: stopped after ([\d,]+) dead letters: run the same command again to go on\n$/
      const done = Number(told.exec(stderr)?.[1]?.replace(",", ""))
      expect({ code, stdout, stderr, rest: done % 500 }).toEqual({ code: 1, stdout: "", stderr, rest: 0 })
      expect(done).toBeGreaterThan(0)
      expect(done).toBeLessThan(total)
      expect(yield* dead).toHaveLength(total - done)
      expect(document(yield* run("requeue", "--all", "--json"))).toMatchObject({ requeued: total - done })
    })
  )
})

describe("twinbox discard", () => {
  it.scopedLive("deletes nothing without consent", () =>
    Effect.gen(function* () {
      const { dead, die, run, runProcess } = yield* outbox
      yield* die(threeDead)
      expect(yield* runProcess("discard", "--all")).toEqual({
        code: 2,
        stdout: "",
        stderr:
          "twinbox: this asks before it starts, and there is no terminal to ask on: add --yes to go ahead\n"
      })
      expect(text(yield* run("discard", "--all", "--dry-run"))).toContain("3 dead letters would be discarded")
      expect(yield* dead).toHaveLength(3)
    })
  )

  it.scopedLive("deletes what is meant", () =>
    Effect.gen(function* () {
      const { dead, die, owed, run } = yield* outbox
      yield* die(threeDead)
      expect(text(yield* run("discard", "--key", "customer/1", "-y"))).toBe("1 dead letter discarded\n")
      expect(yield* dead).toEqual(["b:mirror", "c:kafka"])
      expect(document(yield* run("discard", "--sink", "mirror", "--yes", "--json"))).toEqual({ discarded: 1 })
      expect(yield* dead).toEqual(["c:kafka"])
      expect(text(yield* run("discard", "--sink", "mirror", "--yes"))).toBe("no dead letters match\n")
      expect(yield* owed("mirror")).toEqual([])
    })
  )
})

describe.skipIf(!World.hasTerminal)("on a terminal", () => {
  it.scopedLive("discard asks, and deletes what it has asked about", () =>
    Effect.gen(function* () {
      const { dead, die, runOnTerminal } = yield* outbox
      yield* die(threeDead)
      const declined = yield* runOnTerminal(["discard", "--all"], Effect.succeed("n\n"))
      expect(declined).toEqual({ code: 1, shown: expect.stringContaining("twinbox: nothing was done") })
      expect(declined.shown).toContain("Delete 3 dead letters for good? [y/N] ")
      expect(yield* dead).toHaveLength(3)
      const later = { id: "d", key: "customer/4", sink: "mirror", fields: { at: Date.now() + 3_600_000 } }
      const agreed = yield* runOnTerminal(["discard", "--all"], Effect.as(die([later]), "y\n"))
      expect(agreed).toEqual({ code: 0, shown: expect.stringContaining("3 dead letters discarded") })
      expect(yield* dead).toEqual(["d:mirror"])
    })
  )

  it.scopedLive("sinks remove says what the sink would lose, and keeps it unless told to go on", () =>
    Effect.gen(function* () {
      const { die, owed, append, leaveBehind, runOnTerminal, store } = yield* outbox
      yield* store.registerSinks([{ name: "mirror", topics: [], isMirror: true }])
      yield* die(threeDead)
      yield* leaveBehind(yield* append([{ key: "customer/5" }]), "mirror")
      const { code, shown } = yield* runOnTerminal(["sinks", "remove", "mirror"], Effect.succeed("\n"))
      expect(code).toBe(1)
      expect(shown).toContain("(1 message), and its dead letters (2) go. [y/N] ")
      expect(yield* owed("mirror")).toHaveLength(1)
    })
  )
})

describe("twinbox replay", () => {
  const ids = ["a", "b", "c"]
  const delivered = Effect.gen(function* () {
    const world = yield* outbox
    yield* world.store.registerSinks([{ name: "kafka", topics: ["customer-anonymised"], isMirror: false }])
    yield* world.store.confirm(yield* world.append(ids.map((id, at) => ({ id, key: `customer/${at}` }))))
    return world
  })

  it.scopedLive("needs consent, and a sink that is there", () =>
    Effect.gen(function* () {
      const { owed, run } = yield* delivered
      expect(yield* run("replay", "--sink", "kafka")).toMatchObject({
        code: 2,
        stdout: "",
        stderr: expect.stringMatching(/--yes/)
      })
      expect(yield* run("replay", "--sink", "kafak", "--yes")).toMatchObject({
        code: 1,
        stdout: "",
        stderr: "twinbox: there is no sink 'kafak'; 'twinbox sinks' lists those there are\n"
      })
      expect(yield* owed("kafka")).toEqual([])
      expect(yield* owed("kafak")).toEqual([])
    })
  )

  it.scopedLive("sends the kept messages that are meant", () =>
    Effect.gen(function* () {
      const { owed, run } = yield* delivered
      expect(text(yield* run("replay", "--sink", "kafka", "--key", "customer/1", "--yes"))).toBe(
        "1 message will be sent to 'kafka' once more\n"
      )
      expect(yield* owed("kafka")).toEqual(["b"])
      expect(document(yield* run("replay", "--sink", "kafka", "--since", "1h", "--yes", "--json"))).toEqual({
        replayed: 3
      })
      expect(yield* owed("kafka")).toEqual(ids)
      expect(text(yield* run("replay", "--sink", "kafka", "--topic", "x", "--yes"))).toContain(
        "no delivered messages"
      )
    })
  )
})

describe("twinbox sinks remove", () => {
  it.scopedLive("forgets a sink that is there with what it was owed, with consent", () =>
    Effect.gen(function* () {
      const { append, dead, die, leaveBehind, owed, run, store } = yield* outbox
      yield* store.registerSinks([
        { name: "kafka", topics: [], isMirror: false },
        { name: "mirror", topics: [], isMirror: true }
      ])
      yield* die(threeDead)
      yield* leaveBehind(yield* append([{ key: "customer/5" }]), "mirror")
      expect(yield* run("sinks", "remove", "mirror")).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/--yes/)
      })
      expect(yield* run("sinks", "remove", "mirorr", "--yes")).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/no sink 'mirorr'/)
      })
      expect(yield* owed("mirror")).toHaveLength(1)
      expect(document(yield* run("sinks", "remove", "mirror", "--yes", "--json"))).toEqual({
        removed: "mirror",
        owed: 1
      })
      expect(yield* owed("mirror")).toEqual([])
      expect(yield* dead).toEqual(["c:kafka"])
      expect(text(yield* run("sinks"))).not.toContain("mirror")
    })
  )

  it.scopedLive("works on the database that is named before its own name", () =>
    Effect.gen(function* () {
      const { name, run, store, uri } = yield* outbox
      yield* store.registerSinks([{ name: "kafka", topics: [], isMirror: false }])
      const words = ["sinks", "--database", name, "--uri", uri, "remove", "kafka", "--yes"]
      const elsewhere = { MONGODB_URI: "mongodb://127.0.0.1:1/" }
      expect(text(yield* InProcess.run(words, elsewhere))).toContain("sink 'kafka' removed")
      expect(text(yield* run("sinks"))).toContain("no sinks")
    })
  )
})
