import { describe, expect, it } from "@effect/vitest"
import { OutboxAdmin, OutboxMemory, OutboxStore, Slot } from "@twinbox/outbox"
import { MessageFixture, VirtualClock } from "@twinbox/testkit"
import { Effect } from "effect"

/** An outbox whose database has a clock that stands until it is moved. */
const setUp = Effect.gen(function* () {
  const clock = new VirtualClock.VirtualClock(1_000)
  const memory = yield* Effect.withClock(OutboxMemory.make({ keepDelivered: 500 }), clock)
  return { ...memory, clock }
})

describe("OutboxMemory", () => {
  it.effect("has the clock of the fiber that made it", () =>
    Effect.gen(function* () {
      const { clock, store, transact } = yield* setUp
      yield* transact(store.append([MessageFixture.make({ availableAt: 1_100 })]))
      yield* clock.advance("99 millis")
      expect(yield* store.promote(Slot.all)).toBe(0)
      yield* clock.advance("1 millis")
      expect(yield* store.promote(Slot.all)).toBe(1)
    })
  )

  it.effect("keeps delivered messages as long as told, and names the time of the first delivery", () =>
    Effect.gen(function* () {
      const { admin, clock, store, transact } = yield* setUp
      const message = MessageFixture.make()
      yield* transact(store.append([message]))
      yield* store.registerSinks([MessageFixture.registeredSink("mirror")])
      yield* store.confirm([message])
      yield* clock.advance("100 millis")
      yield* store.confirm([message])
      expect(yield* admin.replay({ sink: "mirror", from: 1_001 })).toBe(0)
      expect(yield* admin.replay({ sink: "mirror", before: 1_000 })).toBe(0)
      expect(yield* admin.replay({ sink: "mirror", from: 1_000, before: 1_001 })).toBe(1)
      yield* clock.advance("399 millis")
      expect((yield* store.stats).delivered).toBe(1)
      yield* clock.advance("1 millis")
      expect((yield* store.stats).delivered).toBe(0)
    })
  )

  it.effect("does each operation in one step", () =>
    Effect.gen(function* () {
      const { store, transact } = yield* setUp
      yield* transact(store.append(MessageFixture.ofKey("customer/1", 3)))
      Effect.runSync(store.join("relay", 5_000))
      const claimed = Effect.runSync(store.claim("relay", Slot.all))
      const lease = { owner: "relay", epochs: new Map(claimed.map(({ epoch, slot }) => [slot, epoch])) }
      expect(Effect.runSync(store.beat("relay", false)).slots).toHaveLength(Slot.count)
      expect(Effect.runSync(store.sweepOrphans(lease))).toEqual({ mended: 0, corrupt: [] })
      expect(Effect.runSync(store.depth)).toBe(3)
    })
  )

  it.effect("offers both ports over the same data in its layer", () =>
    Effect.gen(function* () {
      const store = yield* OutboxStore.OutboxStore
      const admin = yield* OutboxAdmin.OutboxAdmin
      const sinks = [{ name: "mirror", topics: [], isMirror: true }]
      yield* store.registerSinks(sinks)
      expect(yield* admin.sinks).toEqual(sinks)
    }).pipe(Effect.provide(OutboxMemory.layer))
  )
})
