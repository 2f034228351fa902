import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import { Effect } from "effect"
import { behind, commit, enter, freshProcess, type Process } from "./storeFixture.ts"

const keepMillis = 3_600_000

const delivered = ({ database: { db } }: Process) =>
  Effect.promise(() => db.collection("outbox_delivered").find().sort({ sequence: 1 }).toArray())

const serverTime = ({ database: { db } }: Process) =>
  Effect.map(
    Effect.promise(() => db.command({ hello: 1 })),
    (hello) => (hello["localTime"] as Date).getTime()
  )

describe("Delivered messages that are kept", () => {
  it.scopedLive("are what was sent, with the server's time and the time at which they go", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess({ keepDelivered: keepMillis })
      const message = MessageFixture.make({ headers: { $path: "$payload", "a.b": "$$NOW" }, payload: '"$x"' })
      yield* commit(relay, [message])
      const before = yield* serverTime(relay)
      yield* relay.store.confirm([message])
      const after = yield* serverTime(relay)
      const [record, ...rest] = yield* delivered(relay)
      const { createdAt, id, ...fields } = message
      expect(record).toEqual({
        ...fields,
        _id: id,
        createdAt: new Date(createdAt),
        deliveredAt: expect.any(Date),
        expireAt: expect.any(Date)
      })
      expect(rest).toEqual([])
      const [deliveredAt = 0, expireAt] = ["deliveredAt", "expireAt"].map((field) => Number(record?.[field]))
      expect(deliveredAt).toBeGreaterThanOrEqual(before)
      expect(deliveredAt).toBeLessThanOrEqual(after)
      expect(expireAt).toBe(deliveredAt + keepMillis)
    })
  )

  it.scopedLive("are kept once, however often and by whomever they are confirmed", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess({ keepDelivered: keepMillis })
      const messages = MessageFixture.ofKey("customer/1", 3)
      yield* commit(relay, messages)
      yield* relay.store.confirm(messages)
      const first = yield* delivered(relay)
      expect(first).toHaveLength(3)
      yield* relay.store.confirm(messages)
      // The copy was made, and its process died before it deleted them.
      yield* commit(relay, messages)
      yield* Effect.all([relay.store.confirm(messages), relay.store.confirm(messages)], {
        concurrency: "unbounded"
      })
      expect(yield* delivered(relay)).toEqual(first)
      expect(yield* relay.store.stats).toMatchObject({ ready: 0, delivered: 3 })
    })
  )

  it.scopedLive("say nothing of what relays noted beside the message", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess({ keepDelivered: keepMillis })
      const message = MessageFixture.make()
      yield* commit(relay, [message])
      const lease = yield* enter(relay, "relay-a", [message.slot])
      yield* relay.store.mark(lease, "mirror", [message], 1)
      yield* relay.store.settle(lease, [behind(message, "mirror")])
      yield* relay.store.settleBehind(lease, "mirror", { confirmed: [message], dead: [] })
      const [record] = yield* delivered(relay)
      for (const field of ["state", "behind", "marks", "history"]) expect(record).not.toHaveProperty(field)
      yield* relay.store.registerSinks([MessageFixture.registeredSink("kafka")])
      expect(yield* relay.admin.replay({ sink: "kafka" })).toBe(1)
      expect((yield* relay.store.stats).behind).toBe(1)
    })
  )

  it.scopedLive("are no longer kept after their time, also where the server has not deleted them yet", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess({ keepDelivered: keepMillis })
      const messages = MessageFixture.ofKey("customer/1", 2)
      yield* commit(relay, messages)
      yield* relay.store.confirm(messages)
      const { db } = relay.database
      yield* Effect.promise(() =>
        db.collection("outbox_delivered").updateOne({ sequence: 1 }, { $set: { expireAt: new Date(1_000) } })
      )
      expect((yield* relay.store.stats).delivered).toBe(1)
      yield* relay.store.registerSinks([MessageFixture.registeredSink("mirror")])
      expect(yield* relay.admin.replay({ sink: "mirror" })).toBe(1)
    })
  )
})
