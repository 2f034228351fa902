import { describe, expect, it } from "@effect/vitest"
import type { Message } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect } from "effect"
import { commit, enter, freshProcess, letter, type Process } from "./storeFixture.ts"

const mirror = { name: "mirror", topics: ["a"], isMirror: true }
const log = { name: "log", topics: ["a"], isMirror: false }

/** Registers where the stream `customer` is stored, and puts versions there. */
const storeVersions = (
  { database: { db } }: Process,
  stored: Readonly<Record<string, number>>,
  deleted: Readonly<Record<string, number>> = {}
) =>
  Effect.promise(async () => {
    const insert = async (name: string, versions: Readonly<Record<string, number>>) => {
      const documents = Object.entries(versions).map(([_id, version]) => ({ _id, version }))
      if (documents.length > 0) await db.collection<{ _id: string }>(name).insertMany(documents)
    }
    await db
      .collection<{ _id: string }>("outbox_streams")
      .insertOne({ _id: "customer", collection: "people", tombstones: "people_gone" } as { _id: string })
    await insert("people", stored)
    await insert("people_gone", deleted)
  })

const bury = (relay: Process, messages: ReadonlyArray<Message.Message>, ...sinks: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* relay.store.registerSinks([mirror, log])
    yield* commit(relay, messages)
    const lease = yield* enter(relay, "relay-a")
    yield* relay.store.settle(
      lease,
      messages.map((message) => ({
        messageId: message.id,
        slot: message.slot,
        behind: [],
        dead: sinks.map((sink) => letter(message, sink))
      }))
    )
  })

const at = (id: string, sequence: number) =>
  MessageFixture.make({ id: `${id}-${sequence}`, key: `customer/${id}`, sequence })

describe("requeue over MongoDB", () => {
  it.scopedLive("keeps from a mirror what the stream's collection or its tombstones are past", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      yield* storeVersions(relay, { kept: 2, newer: 3, again: 5 }, { deleted: 4, again: 3 })
      const messages = [
        at("kept", 2),
        at("newer", 2),
        at("deleted", 3),
        at("deleted", 4),
        at("again", 4),
        at("gone", 1)
      ]
      yield* bury(relay, messages, "mirror")
      expect(yield* relay.admin.requeue({})).toEqual({ requeued: 3, superseded: 3, corrupt: 0 })
      const { letters } = yield* relay.admin.deadLetters({ filter: {}, limit: 10 })
      expect(letters.map(({ messageId }) => messageId)).toEqual(["again-4", "deleted-3", "newer-2"])
    })
  )

  it.scopedLive("sends other sinks every message, however old", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      yield* storeVersions(relay, { newer: 3 })
      yield* bury(relay, [at("newer", 2)], "log", "mirror")
      expect(yield* relay.admin.requeue({})).toEqual({ requeued: 1, superseded: 1, corrupt: 0 })
    })
  )

  it.scopedLive("brings back a message once that several sinks gave up on", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      yield* bury(relay, [at("one", 1)], "log", "mirror")
      const before = (yield* relay.store.beat("relay-a", false)).slots.map(({ changes }) => changes)
      expect(yield* relay.admin.requeue({})).toEqual({ requeued: 2, superseded: 0, corrupt: 0 })
      const { sinks, ...counts } = yield* relay.store.stats
      expect(counts).toMatchObject({ behind: 1, dead: 0 })
      expect([sinks.get("log")?.behind, sinks.get("mirror")?.behind]).toEqual([1, 1])
      const after = (yield* relay.store.beat("relay-a", false)).slots.map(({ changes }) => changes)
      expect(after.reduce((sum, changes, slot) => sum + changes - (before[slot] ?? 0), 0)).toBe(1)
    })
  )

  it.scopedLive("changes nothing of a page that fails", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      yield* bury(relay, [at("one", 1), at("two", 1)], "log")
      const { db } = relay.database
      // A validator of somebody else's making stops the second message.
      yield* Effect.promise(() =>
        db.command({ collMod: "outbox", validator: { _id: { $ne: "two-1" } }, validationLevel: "strict" })
      )
      expect(yield* Effect.flip(relay.admin.requeue({}))).toMatchObject({ reason: "Refused" })
      expect(yield* relay.store.stats).toMatchObject({ behind: 0, dead: 2 })
    })
  )

  it.scopedLive("leaves a message as it is that is ready again", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      const message = at("one", 1)
      yield* bury(relay, [message], "log")
      yield* commit(relay, [message])
      const read = Effect.promise(() => relay.database.db.collection("outbox").findOne({ key: message.key }))
      const before = yield* read
      expect(yield* relay.admin.requeue({})).toMatchObject({ requeued: 1 })
      expect(yield* read).toEqual(before)
      expect((yield* relay.store.stats).dead).toBe(0)
    })
  )
})

describe("replay over MongoDB", () => {
  it.scopedLive("puts back the older messages of a key first, batch by batch", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess({ keepDelivered: 3_600_000 })
      const messages = MessageFixture.ofKey("customer/1", 1_100)
      yield* commit(relay, messages)
      yield* relay.store.confirm(messages.toReversed())
      const batches: Array<ReadonlyArray<number>> = []
      const outbox = relay.database.db.collection("outbox")
      const note = () =>
        Effect.promise(async () => {
          const found = await outbox.find({ state: "behind" }).project({ sequence: 1 }).toArray()
          batches.push(found.map(({ sequence }) => Number(sequence)))
        })
      yield* relay.store.registerSinks([MessageFixture.registeredSink("mirror")])
      expect(yield* relay.admin.replay({ sink: "mirror" }, note)).toBe(1_100)
      expect(batches.map((batch) => [batch.length, Math.max(...batch)])).toEqual([
        [500, 500],
        [1_000, 1_000],
        [1_100, 1_100]
      ])
    })
  )
})
