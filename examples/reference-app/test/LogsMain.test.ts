import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import { Effect, Redacted } from "effect"
import { ObjectId } from "mongodb"
import { appDatabase } from "../../../test/setup/appDatabase.ts"
import { temporaryFolder } from "../../../test/setup/appProcess.ts"
import type { LogLine } from "../src/LogLine.ts"
import * as LogStore from "../src/LogStore.ts"

const program = new URL("../src/LogsMain.ts", import.meta.url).pathname

/** Names that would lead the command away from what a test gives it. */
const foreign = /^(API_TOKENS|MONGODB_URI|LOG_|TWINBOX_DATA|HOST$|PORT$|npm_|NODE_OPTIONS|NO_COLOR|VITEST)/

/** Runs the command to its end. */
const logs = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>, folder = tmpdir()) =>
  Effect.promise(async () => {
    const child = spawn(process.execPath, ["--conditions=twinbox-source", program, ...args], {
      cwd: folder,
      env: {
        ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name))),
        NODE_COMPILE_CACHE: join(tmpdir(), "twinbox-test-compile-cache"),
        ...env
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const output = { stdout: "", stderr: "" }
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (chunk: Buffer) => (output[name] += chunk.toString()))
    }
    const [code] = (await once(child, "close")) as [number | null]
    return { code, ...output }
  })

const start = Date.parse("2026-05-01T12:00:00.000Z")

const line = (at: number, ids: Partial<LogLine>): LogLine => ({
  _id: new ObjectId(),
  at: new Date(start + at),
  level: at === 2 ? "ERROR" : "INFO",
  message: `line ${at}`,
  notes: { status: 200 + at },
  errors: at === 2 ? ["Unavailable"] : [],
  ...ids
})

const given = [
  line(0, { session_id: "s", request_id: "r0" }),
  line(1, { session_id: "s", request_id: "r1" }),
  line(2, { session_id: "s", request_id: "r1" }),
  line(3, { session_id: "other", request_id: "r3" })
]

const stored = Effect.gen(function* () {
  const { env } = yield* appDatabase
  const database = yield* MongoDatabase.make({ uri: Redacted.make(env.MONGODB_URI) })
  const store = yield* Effect.provideService(LogStore.make, MongoDatabase.MongoDatabase, database)
  yield* store.ensure
  yield* store.insert(given)
  return { MONGODB_URI: env.MONGODB_URI }
})

describe("npm run logs", () => {
  it.scopedLive("prints the lines of a session, a request or both, the oldest first", () =>
    Effect.gen(function* () {
      const env = yield* stored
      const one = "2026-05-01T12:00:00.001Z INFO  line 1 status=201 session_id=s request_id=r1\n"
      const two =
        "2026-05-01T12:00:00.002Z ERROR line 2 (Unavailable) status=202 session_id=s request_id=r1\n"
      expect(yield* logs(["--session-id", "s", "--limit", "2"], env)).toEqual({
        code: 0,
        stdout: one + two,
        stderr: ""
      })
      expect(yield* logs(["--request-id", "r3"], env)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^[^\n]+line 3[^\n]+\n$/)
      })
      expect(yield* logs(["--session-id", "other", "--request-id", "r1"], env)).toEqual({
        code: 0,
        stdout: "",
        stderr: ""
      })
    })
  )

  it.scopedLive("prints one JSON document, as the endpoint answers it", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* logs(["--request-id", "r1", "--json", "--limit", "1"], yield* stored)
      expect([code, JSON.parse(stdout)]).toEqual([
        0,
        {
          items: [
            {
              at: "2026-05-01T12:00:00.002Z",
              level: "ERROR",
              message: "line 2",
              session_id: "s",
              request_id: "r1",
              notes: { status: 202 },
              errors: ["Unavailable"]
            }
          ],
          next: expect.stringMatching(LogStore.positionPattern)
        }
      ])
    })
  )

  it.scopedLive("says what is wrong with a command line, and shows its options", () =>
    Effect.gen(function* () {
      for (const [args, problem] of [
        [[], "give --session-id, --request-id or both"],
        [["--limit", "5"], "give --session-id, --request-id or both"],
        [["--session-id", "a b"], "--session-id must be"],
        [["--request-id", "r", "--limit", "1001"], "--limit must be a whole number from 1 to 1000"]
      ] as const) {
        const { code, stderr, stdout } = yield* logs(args, {})
        expect([args, code]).toEqual([args, 2])
        expect(stdout + stderr).toContain(problem)
      }
      const { code, stdout } = yield* logs(["--help"], {})
      expect(code).toBe(0)
      for (const option of ["--session-id", "--request-id", "--limit", "--json"]) {
        expect(stdout).toContain(option)
      }
    })
  )

  it.scopedLive("says in one sentence where it found no MongoDB, and starts none without data", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      expect(yield* logs(["--session-id", "s"], {}, folder)).toEqual({
        code: 1,
        stdout: "",
        stderr:
          "logs: which logs? there is no MONGODB_URI, and the app has not kept any data in .data/mongodb yet\n"
      })
      expect(existsSync(join(folder, ".data"))).toBe(false)
    })
  )
})
