import { Key, Slot } from "@twinbox/outbox"
import { describe, expect } from "@effect/vitest"
import { Clock, Effect } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import * as Harness from "./StoreHarness.ts"
import { VirtualClock } from "./VirtualClock.ts"

const sink = (name: string) => ({ name, topics: [], isMirror: false })

const scheduling = (test: Harness.Define) =>
  describe("a scheduled message", () => {
    test("is not ready until it is promoted, and then as it was written", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const [due, later] = [1_000, Harness.farFuture].map((availableAt, at) =>
          MessageFixture.make({ sequence: at + 1, availableAt })
        )
        if (due === undefined || later === undefined) return
        yield* Harness.commit(harness, [due, later])
        expect(yield* Harness.readReady(store)).toEqual([])
        expect(yield* store.stats).toMatchObject({ ready: 0, scheduled: 2 })
        expect(yield* store.promote(Slot.all)).toBe(1)
        expect(yield* store.promote(Slot.all)).toBe(0)
        expect(yield* Harness.readReady(store)).toEqual([{ _tag: "Message", message: due }])
        expect(yield* store.stats).toMatchObject({ ready: 1, scheduled: 1 })
      }))

    test("becomes due at its time", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const availableAt = (yield* Clock.currentTimeMillis) + 500
        yield* Harness.commit(harness, [MessageFixture.make({ availableAt })])
        const promoted = yield* Harness.eventually(store.promote(Slot.all), (count) => count > 0)
        expect(promoted).toBe(1)
        // A few milliseconds for clocks that are read in two processes.
        expect(yield* Clock.currentTimeMillis).toBeGreaterThanOrEqual(availableAt - 5)
      }))

    test("is due by the database's clock, whatever the caller's says", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        yield* Harness.commit(harness, [MessageFixture.make({ availableAt: Harness.farFuture })])
        yield* store.join("relay-a", Harness.leaseMillis)
        const ahead = Effect.withClock(new VirtualClock(Harness.farFuture + 1))
        expect((yield* ahead(store.beat("relay-a", false))).isDue).toBe(false)
        expect(yield* ahead(store.promote(Slot.all))).toBe(0)
        yield* Harness.commit(harness, [MessageFixture.make({ sequence: 2, availableAt: 1_000 })])
        const stopped = Effect.withClock(new VirtualClock(0))
        expect((yield* stopped(store.beat("relay-a", false))).isDue).toBe(true)
        expect(yield* stopped(store.promote(Slot.all))).toBe(1)
      }))

    test("is promoted in the slots asked for only, however many there are", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const [key, otherKey] = Harness.twoKeys()
        const many = MessageFixture.ofKey(key, 1_050).map((message) => ({ ...message, availableAt: 1_000 }))
        const other = MessageFixture.make({ key: otherKey, availableAt: 1_000 })
        yield* Harness.commit(harness, [...many, other])
        expect(yield* store.promote([])).toBe(0)
        expect(yield* store.promote([Slot.ofKey(key)])).toBe(1_050)
        expect(yield* Harness.readyIds(store)).toEqual(many.map(({ id }) => id))
      }))
  })

const sweeping = (test: Harness.Define) =>
  describe("sweepOrphans", () => {
    test("takes unregistered sinks from what is behind, and ends what nobody owes", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, three, two } = yield* Harness.prepare(harness)
        const stray = MessageFixture.make({ key: one.key, sequence: 4 })
        yield* store.registerSinks([sink("kafka")])
        yield* store.settle(lease, [
          Harness.settlementOf(one, { behind: ["gone"] }),
          Harness.settlementOf(two, { behind: ["gone", "kafka"] }),
          Harness.settlementOf(three, { behind: ["kafka"] })
        ])
        yield* harness.insertOwedToNobody(stray)
        expect(yield* store.sweepOrphans(lease)).toEqual({ mended: 3, corrupt: [] })
        expect(yield* store.sweepOrphans(lease)).toEqual({ mended: 0, corrupt: [] })
        expect(yield* Harness.behindIds(store, "gone")).toEqual([])
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([two.id, three.id])
        expect(yield* Harness.readyIds(store)).toEqual([other.id])
        expect(yield* store.stats).toMatchObject({ ready: 1, behind: 2, dead: 0 })
      }))

    test("returns records in an unknown state or without a slot, to be settled as corrupt", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        yield* harness.insertCorrupt("lost", 3, "no such state")
        yield* harness.insertCorrupt("nowhere", 999)
        yield* harness.insertCorrupt("broken", 3)
        yield* Harness.commit(harness, [MessageFixture.make({ availableAt: Harness.farFuture })])
        const lease = yield* Harness.enter(store)
        const { corrupt, mended } = yield* store.sweepOrphans(lease)
        expect(mended).toBe(0)
        const found = corrupt.flatMap((stored) => (stored._tag === "Corrupt" ? [stored] : []))
        expect(new Map(found.map(({ id, slot }) => [id, slot]))).toEqual(
          new Map([
            ["lost", 3],
            ["nowhere", 0]
          ])
        )
        for (const { issues } of found) expect(issues.length).toBeGreaterThan(0)
        yield* store.settle(
          lease,
          found.map((record) => Harness.settlementOf(record, { dead: ["*"] }))
        )
        expect(yield* store.sweepOrphans(lease)).toEqual({ mended: 0, corrupt: [] })
        expect(yield* store.stats).toMatchObject({ dead: 2, scheduled: 1 })
      }))

    test("minds the lease's slots only", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const [key, otherKey] = Harness.keysOfDistinctSlots(3).filter((name) => Slot.ofKey(name) !== 0)
        if (key === undefined || otherKey === undefined) return yield* Effect.dieMessage("no keys")
        const [mine, other] = [MessageFixture.make({ key }), MessageFixture.make({ key: otherKey })]
        yield* harness.insertOwedToNobody(mine)
        yield* harness.insertOwedToNobody(other)
        yield* harness.insertCorrupt("lost", other.slot, "no such state")
        yield* harness.insertCorrupt("nowhere", -1)
        const lease = yield* Harness.enter(store, "relay-a", [mine.slot])
        expect(yield* store.sweepOrphans(lease)).toEqual({ mended: 1, corrupt: [] })
        const next = yield* Harness.enter(store, "relay-b", [other.slot])
        const { corrupt, mended } = yield* store.sweepOrphans(next)
        expect([mended, Harness.idsOf(corrupt)]).toEqual([1, ["lost"]])
      }))
  })

const keep = { keepDelivered: 600_000 }

const keeping = (test: Harness.Define) =>
  describe("a store that keeps delivered messages", () => {
    test(
      "keeps what every sink has confirmed, once, and nothing else",
      (harness) =>
        Effect.gen(function* () {
          const { lease, one, other, store, three, two } = yield* Harness.prepare(harness)
          yield* store.confirm([one])
          yield* store.confirm([one])
          expect(yield* store.stats).toMatchObject({ ready: 3, delivered: 1 })
          yield* store.settle(lease, [
            Harness.settlementOf(two, { behind: ["mirror", "kafka"] }),
            Harness.settlementOf(three, { behind: ["mirror"] }),
            Harness.settlementOf(other, { dead: ["mirror"] })
          ])
          yield* store.settleBehind(lease, "mirror", {
            confirmed: [two],
            dead: [Harness.deadLetter(three, "mirror")]
          })
          expect(yield* store.stats).toMatchObject({ ready: 0, behind: 1, dead: 2, delivered: 1 })
          yield* store.settleBehind(lease, "kafka", { confirmed: [two], dead: [] })
          expect(yield* store.stats).toMatchObject({ ready: 0, behind: 0, dead: 2, delivered: 2 })
        }),
      keep
    )

    test(
      "forgets them after that time",
      (harness) =>
        Effect.gen(function* () {
          const { store } = harness
          const message = MessageFixture.make()
          yield* Harness.commit(harness, [message])
          yield* store.registerSinks([MessageFixture.registeredSink("mirror")])
          yield* store.confirm([message])
          expect((yield* store.stats).delivered).toBe(1)
          yield* Harness.eventually(store.stats, ({ delivered }) => delivered === 0)
          expect(yield* harness.admin.replay({ sink: "mirror" })).toBe(0)
        }),
      { keepDelivered: 1_500 }
    )

    test("is not every store: told nothing, it keeps nothing", (harness) =>
      Effect.gen(function* () {
        const { admin, one, store } = yield* Harness.prepare(harness)
        yield* store.registerSinks([MessageFixture.registeredSink("mirror")])
        yield* store.confirm([one])
        expect((yield* store.stats).delivered).toBe(0)
        expect(yield* admin.replay({ sink: "mirror" })).toBe(0)
      }))
  })

const counting = (test: Harness.Define) =>
  describe("the outbox as a whole", () => {
    test("knows its sinks; registering one again adds topics and takes none away", ({ admin, store }) =>
      Effect.gen(function* () {
        yield* store.registerSinks([{ name: "mirror", topics: ["a"], isMirror: false }, sink("kafka")])
        yield* store.registerSinks([{ name: "mirror", topics: ["b"], isMirror: true }])
        yield* store.registerSinks([])
        const sinks = yield* admin.sinks
        expect(sinks.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
          sink("kafka"),
          { name: "mirror", topics: ["a", "b"], isMirror: true }
        ])
      }))

    test("counts ready, behind and dead, and names the oldest not yet delivered", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const [oldest, older, newest] = [3_000, 2_000, 4_000].map((createdAt, at) =>
          MessageFixture.make({ sequence: at + 1, createdAt })
        )
        if (oldest === undefined || older === undefined || newest === undefined) return
        yield* Harness.commit(harness, [oldest, older, newest])
        const lease = yield* Harness.enter(store)
        const counts = Effect.map(store.stats, (stats) => [stats.ready, stats.behind, stats.dead])
        const oldestAt = Effect.map(store.stats, (stats) => stats.oldestCreatedAt)
        expect([yield* counts, yield* oldestAt]).toEqual([[3, 0, 0], 2_000])
        yield* store.settle(lease, [Harness.settlementOf(older, { behind: ["mirror"] })])
        expect([yield* counts, yield* oldestAt]).toEqual([[2, 1, 0], 2_000])
        yield* store.settleBehind(lease, "mirror", { confirmed: [older], dead: [] })
        yield* store.settle(lease, [Harness.settlementOf(oldest, { dead: ["mirror"] })])
        expect([yield* counts, yield* oldestAt]).toEqual([[1, 0, 1], 4_000])
        yield* store.confirm([newest])
        expect([yield* counts, yield* oldestAt]).toEqual([[0, 0, 1], undefined])
      }))

    test("counts for each sink what it owes, what it gave up, and keys that wait for a person", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const keys = Harness.keysOfDistinctSlots(2)
        const messages = keys.flatMap((key, at) =>
          [1, 2, 3, 4].map((sequence) =>
            MessageFixture.make({ key, sequence, createdAt: 1_000 * (sequence + 4 * at) })
          )
        )
        yield* Harness.commit(harness, messages)
        const lease = yield* Harness.enter(store)
        yield* store.registerSinks([sink("idle")])
        const [a1, a2, a3, a4, b1, b2] = messages.map((message) =>
          Harness.settlementOf(message, { dead: ["mirror"] })
        )
        if (!a1 || !a2 || !a3 || !a4 || !b1 || !b2) return yield* Effect.dieMessage("no messages")
        yield* store.settle(lease, [
          a1,
          a2,
          { ...a3, behind: ["kafka", "mirror"], dead: [] },
          { ...a4, behind: ["mirror"], dead: [] },
          { ...b1, dead: b1.dead.map((letter) => ({ ...letter, blocks: false })) },
          { ...b2, behind: ["kafka"], dead: [] }
        ])
        expect((yield* store.stats).sinks).toEqual(
          new Map([
            ["idle", { behind: 0, dead: 0, blockedKeys: 0, oldestCreatedAt: undefined }],
            ["kafka", { behind: 2, dead: 0, blockedKeys: 0, oldestCreatedAt: 3_000 }],
            ["mirror", { behind: 2, dead: 3, blockedKeys: 1, oldestCreatedAt: 3_000 }]
          ])
        )
      }))

    test("tells roughly how many messages wait, of whatever kind", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        expect(yield* store.depth).toBe(0)
        const { lease, one, two } = yield* Harness.prepare(harness)
        yield* Harness.commit(harness, [
          MessageFixture.make({ key: Key.make("session", "1"), availableAt: Harness.farFuture })
        ])
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        yield* Harness.eventually(store.depth, (depth) => depth === 5)
        yield* store.confirm([two])
        yield* Harness.eventually(store.depth, (depth) => depth === 4)
      }))
  })

/** What comes due, what is left over, what is kept, and how much there is. */
export const define = (test: Harness.Define): void => {
  scheduling(test)
  sweeping(test)
  keeping(test)
  counting(test)
}
