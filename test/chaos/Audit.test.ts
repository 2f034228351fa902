import { randomUUID } from "node:crypto"
import { expect, it } from "@effect/vitest"
import { MongoIndexes } from "@twinbox/mongodb"
import { Effect } from "effect"
import { inject } from "vitest"
import { MongoClient } from "mongodb"
import { mongoClientName } from "../setup/mongoClientName.ts"
import { testMongo } from "../setup/testServers.ts"
import * as TcpProxy from "../setup/TcpProxy.ts"
import * as Audit from "./Audit.ts"
import { digestOf } from "./DeliveryLog.ts"

const open = (uri: string, database: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new MongoClient(uri, { appName: "audit", serverSelectionTimeoutMS: 500 })),
      (client) => Effect.promise(() => client.close())
    ),
    (client) => client.db(database)
  )

const record = (key: string, payload: string | null) => ({
  _id: randomUUID() as string,
  slot: 1,
  key,
  sequence: 1,
  ordinal: 0,
  topic: "customer",
  payload
})

it.scopedLive(
  "every message that committed is known, though deleted at once and while the way was cut off",
  () =>
    Effect.gen(function* () {
      const { database, uri } = yield* testMongo
      const proxy = yield* TcpProxy.make({
        target: Number(new URL(inject("mongoUri")).port),
        clientOf: mongoClientName
      })
      const direct = yield* open(uri, database)
      const outbox = direct.collection<{ _id: string }>(MongoIndexes.collections.outbox)
      const audit = yield* Audit.make(
        yield* open(`mongodb://127.0.0.1:${proxy.port}/?directConnection=true`, database)
      )
      const write = (messages: ReadonlyArray<{ _id: string }>) =>
        Effect.promise(async () => {
          await outbox.insertMany(messages)
          await outbox.deleteMany({})
        })

      const before = [record("customer/a", "{}"), record("customer/b", null)]
      yield* write([...before, record("", null)])
      yield* audit.catchUp
      expect([...audit.committed.keys()]).toEqual(before.map(({ _id }) => _id))
      expect([...audit.committed.values()]).toMatchObject([
        { key: "customer/a", payload: digestOf("{}") },
        { key: "customer/b", payload: null }
      ])

      // More than can be seen in the time that one write takes.
      const many = Array.from({ length: 10_000 }, () => record("customer/e", "{}"))
      yield* Effect.promise(() => outbox.insertMany(many))
      yield* audit.catchUp
      expect(audit.committed.size).toBe(before.length + many.length)

      yield* proxy.set("audit", "cut")
      const meanwhile = record("customer/c", "{}")
      yield* write([meanwhile])
      // Longer than the driver's own attempt to go on.
      yield* Effect.sleep("1500 millis")
      yield* proxy.set("audit", "flows")
      const after = record("customer/d", "{}")
      yield* write([after])
      yield* audit.catchUp
      expect([...audit.committed.keys()].slice(-2)).toEqual([meanwhile._id, after._id])
      expect(audit.committed.size).toBe(before.length + many.length + 2)
    })
)
