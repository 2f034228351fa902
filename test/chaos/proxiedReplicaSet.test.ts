import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { MongoClient } from "mongodb"
import { proxiedReplicaSet } from "../setup/proxiedReplicaSet.ts"

const clientOf = (uri: string, appName: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new MongoClient(uri, { appName, serverSelectionTimeoutMS: 20_000 })),
    (client) => Effect.promise(() => client.close())
  )

/** Who the client takes for the primary. */
const primaryOf = (client: MongoClient) =>
  Effect.promise(async () => (await client.db("admin").command({ hello: 1 }))["primary"] as string)

/** Tried again until it is done: an election is on, perhaps. */
const write = (client: MongoClient, id: string) =>
  Effect.tryPromise(() =>
    client
      .db("test")
      .collection<{ _id: string }>("things")
      .updateOne({ _id: id }, { $set: { written: true } }, { upsert: true, writeConcern: { w: "majority" } })
  ).pipe(Effect.retry(Schedule.spaced("50 millis")), Effect.orDie, Effect.asVoid)

const ping = (client: MongoClient) => Effect.tryPromise(() => client.db("test").command({ ping: 1 }))

it.scopedLive(
  "all go through the proxies: one client is cut off, others write on; the primary changes, and all find it",
  () =>
    Effect.gen(function* () {
      const set = yield* proxiedReplicaSet
      const unlucky = yield* clientOf(set.uri, "unlucky")
      const lucky = yield* clientOf(set.uri, "lucky")
      yield* ping(unlucky)
      const first = yield* primaryOf(lucky)
      expect(set.uri).toContain(first)

      yield* set.set("unlucky", "cut")
      const cutOff = yield* Effect.exit(Effect.timeout(ping(unlucky), "1 second"))
      expect(cutOff._tag).toBe("Failure")
      yield* write(lucky, "while another is cut off")
      yield* set.set("unlucky", "flows")
      yield* Effect.retry(ping(unlucky), Schedule.spaced("50 millis"))

      yield* set.stepDown
      yield* write(lucky, "after the step-down")
      const second = yield* primaryOf(lucky)
      expect(second).not.toBe(first)

      yield* set.killPrimary(write(lucky, "after the kill"))
      yield* set.awaitHealthy
      expect(yield* primaryOf(lucky)).not.toBe(second)
      expect(yield* Effect.promise(() => lucky.db("test").collection("things").countDocuments())).toBe(3)
    }),
  90_000
)
