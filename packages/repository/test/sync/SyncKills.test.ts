import { spawn } from "node:child_process"
import { once } from "node:events"
import { describe, expect, it } from "@effect/vitest"
import { MongoOutbox } from "@twinbox/mongodb"
import { Effect, Layer, Redacted } from "effect"
import { mongoWithShortLivedLocks } from "../../../../test/setup/shortLivedLocks.ts"
import { newId } from "../testRepository.ts"
import {
  foreign,
  inStep,
  insertForeign,
  makeSync,
  messagesByKey,
  notInStep,
  upTo,
  using
} from "./testSync.ts"

const program = new URL("syncProcess.ts", import.meta.url).pathname

/** Runs an instance until it has put so many documents right, and kills it where it stands. */
const killAfter = (uri: string, mode: "reindex" | "follow", lines: number) =>
  Effect.promise(async () => {
    const child = spawn(
      process.execPath,
      ["--conditions=twinbox-source", program, uri, "kills", "customers", mode],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    const closed = once(child, "close")
    let seen = 0
    child.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString().split("\n").length - 1
      if (seen >= lines) child.kill("SIGKILL")
    })
    const [, signal] = (await closed) as [number | null, string | null]
    return signal
  })

describe("Instances that are killed", () => {
  it.scopedLive(
    "lose nothing and do nothing twice: the next one goes on",
    () =>
      Effect.gen(function* () {
        const { uri } = yield* mongoWithShortLivedLocks
        yield* Effect.gen(function* () {
          const prefix = newId()
          const ids = upTo(1_000).map((at) => `${prefix}-${at}`)
          yield* insertForeign(
            "customers",
            ids.map((id) => foreign(id))
          )
          expect(yield* killAfter(uri, "reindex", 150)).toBe("SIGKILL")
          const left = (yield* notInStep("customers")).length
          expect(left).toBeGreaterThan(0)
          expect(left).toBeLessThan(1_000)
          const sync = yield* makeSync("customers", { batchSize: 20, lease: "1 second" })
          expect(yield* sync.reindex()).toMatchObject({ run: 1, tally: { examined: 1_000 } })
          expect(yield* notInStep("customers")).toEqual([])

          const follower = yield* Effect.fork(killAfter(uri, "follow", 100))
          yield* using("customers", async (found) => {
            await found.updateMany({ _id: { $in: ids.slice(0, 300) } }, { $set: { visits: 5 } })
            await found.deleteMany({ _id: { $in: ids.slice(300, 400) } })
          })
          expect(yield* follower).toBe("SIGKILL")
          expect((yield* notInStep("customers")).length).toBeGreaterThan(0)
          yield* Effect.fork(sync.follow({ flushAfter: "50 millis" }))
          yield* inStep("customers")

          const messages = yield* messagesByKey
          const counts = ids.map((id) => messages.get(`customer/${id}`)?.length)
          expect(counts).toEqual(upTo(1_000).map((at) => (at < 400 ? 2 : 1)))
        }).pipe(
          Effect.provide(
            Layer.orDie(MongoOutbox.layer({ uri: Redacted.make(uri), database: "kills", appName: "kills" }))
          )
        )
      }),
    90_000
  )
})
