import { writeFileSync } from "node:fs"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { join } from "node:path"
import { describe, expect, it, vi } from "@effect/vitest"
import { Deferred, Effect, Either } from "effect"
import { testMongo } from "../../../test/setup/testServers.ts"
import * as Arguments from "../src/Arguments.ts"
import * as World from "./CliWorld.ts"
import * as InProcess from "./InProcess.ts"

// Each command is a process: a busy machine takes seconds to start one.
vi.setConfig({ testTimeout: 180_000 })

/** Nobody listens there, and credentials stand in it. */
const unreachable = "mongodb://ann:secret@127.0.0.1:1/"

const commands = [
  "status",
  "dead",
  "blocked",
  "requeue",
  "discard",
  "replay",
  "sinks",
  "sinks remove",
  "verify",
  "reindex"
]

describe("twinbox --help", () => {
  it.live("names every command and the exit codes, without colours and within 100 columns", () =>
    Effect.gen(function* () {
      const told = World.text(yield* World.run(["--help"]))
      for (const command of commands) expect(told).toMatch(new RegExp(`^  ${command} +[A-Z]`, "m"))
      expect(told).toContain("Exit codes: 0 ")
      expect(told).not.toContain("\u001b")
      expect(Math.max(...told.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(102)
      expect(World.text(yield* World.run([]))).toBe(told)
    })
  )

  it.live("tells the options of a command", () =>
    Effect.gen(function* () {
      const told = World.text(yield* InProcess.run(["sinks", "remove", "--help"], {}))
      expect(told).toMatch(/^twinbox sinks remove \[OPTIONS\]\n/)
      for (const option of ["<NAME>", "(-y, --yes)", "--json", "--uri URI", "--database NAME"]) {
        expect(told).toContain(`\n  ${option} `)
      }
      expect(told).not.toMatch(/user-defined|setting is optional/)
    })
  )
})

describe("an option that takes a value", () => {
  it.live("is never passed over without it, at whichever command", () =>
    Effect.gen(function* () {
      const help = (words: ReadonlyArray<string>) => InProcess.run([...words, "--help"], {})
      const overview = (yield* help([])).stdout
      const found = [...overview.matchAll(/^ {2}([a-z][a-z -]*?)(?: {2,}|$)/gm)].map(([, name = ""]) => name)
      expect(found).toEqual(expect.arrayContaining(commands))
      for (const command of found) {
        const { stdout } = yield* help(command.split(" "))
        const valued = [...stdout.matchAll(/^ {2}(--[a-z-]+) [A-Z]/gm)].map(([, name = ""]) => name)
        expect(valued).toContain("--uri")
        for (const name of valued) {
          expect(Arguments.check([command, name]), `${command} ${name}`).toEqual(
            Either.left(`${name} needs a value`)
          )
        }
      }
    })
  )
})

describe("a command line that makes no sense", () => {
  it.live.each([
    ["stauts", "Invalid subcommand"],
    ["requeue", "add --all"],
    ["requeue --all --id", "--id needs a value"],
    ["dead --limit 1001", "--limit must be a whole number from 1 to 1000"],
    ["replay --yes", "--sink"],
    ["status", "MONGODB_URI"]
  ] as const)("is refused with exit code 2 and a word on what is wrong: %s", ([line, problem]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* InProcess.run(line.split(" "), {})
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toContain(problem)
      expect(stderr).not.toContain("\u001b")
      expect(stderr.trimEnd().split("\n")).toHaveLength(1)
    })
  )
})

describe("the process of the command", () => {
  it.live("ends with exit code 2 when the command line makes no sense", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* World.run(["stauts"])
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toMatch(/^Invalid subcommand.*\n+$/)
    })
  )
})

describe("MongoDB", () => {
  it.live("that does not answer is told in one sentence, without credentials", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* World.run(["status", "--json", "--uri", unreachable])
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^twinbox: MongoDB is not available: .*MONGODB_URI.*\n$/)
      expect(stderr).not.toMatch(/secret|ann/)
    })
  )

  it.scopedLive("is the one of .env where nothing else names one", () =>
    Effect.gen(function* () {
      const folder = yield* World.temporaryFolder
      const { name, uri } = yield* World.outbox
      writeFileSync(join(folder, ".env"), `MONGODB_URI=${uri}\n`)
      const ended = yield* World.run(["status", "--database", name], {}, folder)
      expect(World.text(ended)).toContain("relay-a")
    })
  )

  it.scopedLive("without an outbox stays as it is", () =>
    Effect.gen(function* () {
      const { database, uri } = yield* testMongo
      const words = ["status", "--uri", uri, "--database", database]
      const first = yield* World.run(words)
      expect(first).toMatchObject({
        code: 1,
        stdout: "",
        stderr: expect.stringMatching(`^twinbox: database '${database}' holds no outbox: .*--database.*\n$`)
      })
      // Had it made one, it would find it now.
      expect(yield* World.run(words)).toEqual(first)
    })
  )
})

/** A server that takes connections and says nothing, and the moment of its first one. */
const silentServer = Effect.gen(function* () {
  const connected = yield* Deferred.make<void>()
  const server = createServer(() => Deferred.unsafeDone(connected, Effect.void))
  const sockets = new Set<Socket>()
  server.on("connection", (socket) => sockets.add(socket.on("error", () => undefined)))
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )
  return { connected: Deferred.await(connected), port: (server.address() as AddressInfo).port }
})

describe("Ctrl-C", () => {
  it.scopedLive("ends a command that has nothing under way", () =>
    Effect.gen(function* () {
      const { connected, port } = yield* silentServer
      const { ended, signal } = yield* World.start(["status", "--uri", `mongodb://127.0.0.1:${port}/`])
      yield* connected
      yield* signal("SIGINT")
      expect(yield* ended).toEqual({ code: 1, stdout: "", stderr: "twinbox: stopped\n" })
    })
  )
})
