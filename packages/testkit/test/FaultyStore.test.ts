import { describe, expect, it } from "@effect/vitest"
import { OutboxMemory, Slot } from "@twinbox/outbox"
import { FaultyStore, MessageFixture } from "@twinbox/testkit"
import { Effect, Fiber } from "effect"

const setUp = Effect.map(OutboxMemory.make(), (memory) => ({
  memory,
  faulty: FaultyStore.make(memory.store)
}))

describe("FaultyStore", () => {
  it.effect("fails as often as it is told, and counts", () =>
    Effect.gen(function* () {
      const { faulty, memory } = yield* setUp
      yield* memory.store.join("relay", 5_000)
      yield* faulty.failNext("claim", "Unavailable", { times: 2 })
      const claim = faulty.store.claim("relay", [1])
      const errors = yield* Effect.replicateEffect(Effect.flip(claim), 2)
      expect(errors.map(({ reason }) => reason)).toEqual(["Unavailable", "Unavailable"])
      expect(yield* claim).toMatchObject([{ slot: 1, epoch: 1 }])
      expect(faulty.calls("claim")).toBe(3)
    })
  )

  it.effect("breaks every operation that a relay uses", () =>
    Effect.gen(function* () {
      const { faulty } = yield* setUp
      const { store } = faulty
      const lease = { owner: "relay", epochs: new Map() }
      const behind = { sink: "mirror", slots: Slot.all }
      const runs: Record<
        Exclude<FaultyStore.Operation, "feed" | "cursor">,
        Effect.Effect<unknown, unknown>
      > = {
        join: store.join("relay", 5_000),
        beat: store.beat("relay", false),
        expel: store.expel({ owner: "relay", counter: 1 }),
        leave: store.leave("relay"),
        claim: store.claim("relay", [1]),
        release: store.release(lease),
        clearSuspects: store.clearSuspects(lease),
        mark: store.mark(lease, "mirror", [], 1),
        watch: Effect.scoped(store.watch(Slot.all)),
        readReady: Effect.scoped(store.readReady({ slots: Slot.all })),
        readBehind: Effect.scoped(store.readBehind(behind)),
        confirm: store.confirm([]),
        settle: store.settle(lease, []),
        settleBehind: store.settleBehind(lease, "mirror", { confirmed: [], dead: [] }),
        blockedKeys: store.blockedKeys(behind),
        registerSinks: store.registerSinks([]),
        promote: store.promote(Slot.all),
        sweepOrphans: store.sweepOrphans(lease)
      }
      for (const operation of Object.keys(runs) as ReadonlyArray<keyof typeof runs>) {
        yield* faulty.breakWith(operation, "TooLarge")
        const error = yield* Effect.flip(runs[operation])
        expect([operation, error]).toMatchObject([operation, { reason: "TooLarge", operation }])
        expect([operation, faulty.calls(operation)]).toEqual([operation, 1])
      }
    })
  )

  it.effect("loses a reply after the work is done", () =>
    Effect.gen(function* () {
      const { faulty, memory } = yield* setUp
      yield* memory.store.join("relay", 5_000)
      yield* faulty.failNext("claim", "Unavailable", { lostReply: true })
      yield* Effect.flip(faulty.store.claim("relay", [1]))
      expect(yield* faulty.store.claim("relay", [1])).toMatchObject([{ slot: 1, epoch: 2 }])
    })
  )

  it.scoped("stays broken until it is mended, also within an open cursor", () =>
    Effect.gen(function* () {
      const { faulty } = yield* setUp
      const cursor = yield* faulty.store.readReady({ slots: Slot.all })
      yield* faulty.breakWith("cursor", "ReadLost")
      expect((yield* Effect.flip(cursor.next)).reason).toBe("ReadLost")
      yield* faulty.mend
      expect(yield* cursor.next).toEqual([])
    })
  )

  it.scopedLive("loses the feeds that are open, waiting or not, and none opened later", () =>
    Effect.gen(function* () {
      const { faulty, memory } = yield* setUp
      const feed = yield* faulty.store.watch(Slot.all)
      const waiting = yield* Effect.fork(Effect.flip(feed.next))
      yield* Effect.yieldNow()
      yield* faulty.loseFeeds
      expect((yield* Fiber.join(waiting)).reason).toBe("FeedLost")
      expect((yield* Effect.flip(feed.next)).reason).toBe("FeedLost")
      const next = yield* faulty.store.watch(Slot.all)
      yield* memory.transact(memory.store.append([MessageFixture.make()]))
      expect(yield* next.next).toHaveLength(1)
    })
  )

  it.scopedLive("hides messages from feeds, and from nothing else", () =>
    Effect.gen(function* () {
      const { faulty, memory } = yield* setUp
      yield* faulty.hideFromFeeds(({ sequence }) => sequence === 1)
      const feed = yield* faulty.store.watch(Slot.all)
      yield* memory.transact(memory.store.append(MessageFixture.ofKey("customer/1", 2)))
      expect(yield* feed.next).toHaveLength(1)
      const cursor = yield* faulty.store.readReady({ slots: Slot.all })
      expect(yield* cursor.next).toHaveLength(2)
    })
  )

  it.effect("knows how many feeds are open", () =>
    Effect.gen(function* () {
      const { faulty } = yield* setUp
      yield* Effect.scoped(
        Effect.zipRight(
          faulty.store.watch(Slot.all),
          Effect.sync(() => expect(faulty.openFeeds()).toBe(1))
        )
      )
      expect(faulty.openFeeds()).toBe(0)
    })
  )
})
