import { Slot, type OutboxStore } from "@twinbox/outbox"
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import * as Harness from "./StoreHarness.ts"

const slotsOf = (states: ReadonlyArray<OutboxStore.SlotState>) =>
  states.map(({ slot }) => slot).toSorted((a, b) => a - b)

const memberIn = (view: OutboxStore.View, owner: string) =>
  view.members.find((member) => member.owner === owner)

const joining = (test: Harness.Define) =>
  describe("a membership", () => {
    test("shows to the others, with a counter that each heartbeat raises", ({ store }) =>
      Effect.gen(function* () {
        yield* store.join("relay-a", 1_234)
        const before = yield* Harness.look(store)
        expect(memberIn(before, "relay-a")).toEqual({
          owner: "relay-a",
          counter: 1,
          leaseMillis: 1_234,
          leaving: false
        })
        const own = yield* store.beat("relay-a", false)
        expect(memberIn(own, "relay-a")).toMatchObject({ counter: 2, leaving: false })
        yield* store.beat("relay-a", true)
        const after = yield* store.beat("observer", false)
        expect(memberIn(after, "relay-a")).toMatchObject({ counter: 3, leaving: true, leaseMillis: 1_234 })
        expect(after.members).toHaveLength(2)
      }))

    test("needs a new name, but may be asked for once more when the reply was lost", ({ store }) =>
      Effect.gen(function* () {
        yield* store.join("relay-a", Harness.leaseMillis)
        yield* store.join("relay-a", Harness.leaseMillis)
        expect((yield* store.beat("relay-a", false)).members).toHaveLength(1)
        expect(yield* Harness.reasonOf(store.join("relay-a", Harness.leaseMillis))).toBe("Refused")
        expect(memberIn(yield* store.beat("relay-a", false), "relay-a")?.counter).toBe(3)
      }))

    test("is ended by who knows its counter, once, and not by who saw an older one", ({ store }) =>
      Effect.gen(function* () {
        yield* store.join("relay-a", Harness.leaseMillis)
        yield* store.beat("relay-a", false)
        expect(yield* store.expel({ owner: "relay-a", counter: 1 })).toBe(false)
        yield* store.beat("relay-a", false)
        expect(yield* store.expel({ owner: "relay-a", counter: 3 })).toBe(true)
        expect(yield* store.expel({ owner: "relay-a", counter: 3 })).toBe(false)
        expect(yield* store.expel({ owner: "nobody", counter: 1 })).toBe(false)
      }))

    test("does not come back by a heartbeat", ({ store }) =>
      Effect.gen(function* () {
        yield* store.join("relay-a", Harness.leaseMillis)
        yield* Harness.expel(store)
        expect(yield* Harness.reasonOf(store.beat("relay-a", false))).toBe("StaleLease")
        expect(yield* Harness.reasonOf(store.beat("nobody", false))).toBe("StaleLease")
        expect((yield* Harness.look(store)).members.map(({ owner }) => owner)).toEqual(["observer"])
      }))

    test("is left by the relay itself, also twice; slots it kept become suspect, and no others", ({
      store
    }) =>
      Effect.gen(function* () {
        const lease = yield* Harness.enter(store, "relay-a", [1, 2])
        yield* store.release({ ...lease, epochs: new Map([[1, lease.epochs.get(1) ?? 0]]) })
        yield* store.leave("relay-a")
        yield* store.leave("relay-a")
        expect(yield* Harness.reasonOf(store.beat("relay-a", false))).toBe("StaleLease")
        yield* Harness.enter(store, "relay-b", [1, 2, 3])
        const view = yield* store.beat("relay-b", false)
        expect([1, 2, 3].map((slot) => Harness.slotIn(view, slot)?.suspect)).toEqual([false, true, false])
      }))
  })

const viewing = (test: Harness.Define) =>
  describe("a heartbeat", () => {
    test("shows every slot in rising order, free and clean at first", ({ store }) =>
      Effect.gen(function* () {
        const { slots } = yield* Harness.look(store)
        expect(slots.map(({ slot }) => slot)).toEqual(Slot.all)
        for (const { owner, suspect } of slots) expect({ owner, suspect }).toEqual({ suspect: false })
      }))

    test("shows owners, also crashed ones, and what was claimed", ({ store }) =>
      Effect.gen(function* () {
        yield* store.join("relay-a", Harness.leaseMillis)
        const claimed = yield* store.claim("relay-a", [7, 8])
        yield* Harness.expel(store)
        const view = yield* Harness.look(store)
        expect(memberIn(view, "relay-a")).toBeUndefined()
        expect([7, 8].map((slot) => Harness.slotIn(view, slot))).toEqual(
          claimed.toSorted((a, b) => a.slot - b.slot)
        )
        expect(Harness.slotIn(view, 7)?.owner).toBe("relay-a")
        expect(Harness.slotIn(view, 9)?.owner).toBeUndefined()
      }))

    test("shows the sinks", ({ store }) =>
      Effect.gen(function* () {
        const sinks = [
          { name: "kafka", topics: [], isMirror: false },
          { name: "mirror", topics: ["a"], isMirror: true }
        ]
        yield* store.registerSinks(sinks)
        const view = yield* Harness.look(store)
        expect(view.sinks.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual(sinks)
      }))

    test("tells whether scheduled messages are due", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        yield* Harness.commit(harness, [MessageFixture.make({ availableAt: Harness.farFuture })])
        expect((yield* Harness.look(store)).isDue).toBe(false)
        yield* Harness.commit(harness, [MessageFixture.make({ sequence: 2, availableAt: 1_000 })])
        expect((yield* store.beat("observer", false)).isDue).toBe(true)
        yield* store.promote(Slot.all)
        expect((yield* store.beat("observer", false)).isDue).toBe(false)
      }))
  })

const claiming = (test: Harness.Define) =>
  describe("claim", () => {
    test("takes free slots as clean, with an epoch that rises with each change of owner", ({ store }) =>
      Effect.gen(function* () {
        yield* store.join("relay-a", Harness.leaseMillis)
        yield* store.join("relay-b", Harness.leaseMillis)
        const first = yield* store.claim("relay-a", [1, 2, 255])
        expect(slotsOf(first)).toEqual([1, 2, 255])
        for (const state of first) expect(state).toMatchObject({ owner: "relay-a", suspect: false })
        yield* store.release(Harness.leaseOf("relay-a", first))
        const [second] = yield* store.claim("relay-b", [2])
        expect(second).toMatchObject({ slot: 2, owner: "relay-b", suspect: false })
        expect(second?.epoch).toBeGreaterThan(first.find(({ slot }) => slot === 2)?.epoch ?? Infinity)
        expect(yield* store.claim("relay-a", [])).toEqual([])
      }))

    test("leaves slots of members alone, and returns only what it took", ({ store }) =>
      Effect.gen(function* () {
        const lease = yield* Harness.enter(store, "relay-a", [1, 2])
        yield* store.join("relay-b", Harness.leaseMillis)
        expect(slotsOf(yield* store.claim("relay-b", [1, 2, 3]))).toEqual([3])
        const view = yield* store.beat("relay-a", false)
        expect(Harness.slotIn(view, 1)).toMatchObject({ owner: "relay-a", epoch: lease.epochs.get(1) })
      }))

    test("takes slots of a crashed owner as suspect", ({ store }) =>
      Effect.gen(function* () {
        const lease = yield* Harness.enter(store, "relay-a", [1, 2])
        yield* Harness.expel(store)
        yield* store.join("relay-b", Harness.leaseMillis)
        const taken = yield* store.claim("relay-b", [2, 3])
        expect(slotsOf(taken)).toEqual([2, 3])
        const crashed = taken.find(({ slot }) => slot === 2)
        expect(crashed).toMatchObject({ owner: "relay-b", suspect: true })
        expect(crashed?.epoch).toBeGreaterThan(lease.epochs.get(2) ?? Infinity)
        expect(taken.find(({ slot }) => slot === 3)?.suspect).toBe(false)
      }))

    test("returns slots that the owner has already, at a new epoch and else as they are", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store } = yield* Harness.prepare(harness)
        const next = yield* Harness.takeOver(store)
        yield* store.clearSuspects({ ...next, epochs: new Map([[one.slot, next.epochs.get(one.slot) ?? 0]]) })
        const again = yield* store.claim("relay-b", [one.slot, other.slot])
        expect(slotsOf(again)).toEqual([one.slot, other.slot].toSorted((a, b) => a - b))
        for (const { epoch, slot, suspect } of again) {
          expect(epoch).toBeGreaterThan(next.epochs.get(slot) ?? Infinity)
          expect(suspect).toBe(slot === other.slot)
        }
        expect(lease.owner).not.toBe(next.owner)
        const settle = store.settle(next, [Harness.settlementOf(one, { behind: ["mirror"] })])
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
      }))

    test("gives each slot to one of several that want it at once", ({ store }) =>
      Effect.gen(function* () {
        const owners = ["relay-a", "relay-b", "relay-c"]
        yield* Effect.forEach(owners, (owner) => store.join(owner, Harness.leaseMillis))
        const slots = Slot.all.slice(0, 20)
        const claims = yield* Effect.forEach(owners, (owner) => store.claim(owner, slots), {
          concurrency: "unbounded"
        })
        expect(slotsOf(claims.flat())).toEqual(slots)
        const view = yield* store.beat("relay-a", false)
        for (const state of claims.flat()) expect(Harness.slotIn(view, state.slot)).toEqual(state)
      }))

    test("takes nothing for who is no member", ({ store }) =>
      Effect.gen(function* () {
        expect(yield* Harness.reasonOf(store.claim("nobody", [1]))).toBe("StaleLease")
        yield* store.join("relay-a", Harness.leaseMillis)
        yield* Harness.expel(store)
        expect(yield* Harness.reasonOf(store.claim("relay-a", [1]))).toBe("StaleLease")
        expect(Harness.slotIn(yield* Harness.look(store), 1)?.owner).toBeUndefined()
      }))
  })

const returning = (test: Harness.Define) =>
  describe("a slot given back", () => {
    test("is free and clean", ({ store }) =>
      Effect.gen(function* () {
        const lease = yield* Harness.enter(store, "relay-a", [4, 5])
        yield* store.release(lease)
        yield* store.release(lease)
        const view = yield* store.beat("relay-a", false)
        expect(Harness.slotIn(view, 4)).toMatchObject({ owner: undefined, suspect: false })
        const next = yield* Harness.enter(store, "relay-b", [4, 5])
        expect([...next.epochs.keys()].toSorted()).toEqual([4, 5])
      }))

    test("stays suspect if it was and has not been cleared", ({ store }) =>
      Effect.gen(function* () {
        yield* Harness.enter(store, "relay-a", [4, 5])
        const second = yield* Harness.takeOver(store)
        yield* store.clearSuspects({ ...second, epochs: new Map([[5, second.epochs.get(5) ?? 0]]) })
        yield* store.release(second)
        yield* store.join("relay-c", Harness.leaseMillis)
        const third = yield* store.claim("relay-c", [4, 5])
        expect(new Map(third.map(({ slot, suspect }) => [slot, suspect]))).toEqual(
          new Map([
            [4, true],
            [5, false]
          ])
        )
      }))

    test("by a lease that is no longer its own stays as it is, and so does its suspicion", ({ store }) =>
      Effect.gen(function* () {
        yield* Harness.enter(store, "relay-a", [4])
        const old = yield* Harness.takeOver(store)
        const [again] = yield* store.claim("relay-b", [4])
        yield* store.release(old)
        yield* store.clearSuspects(old)
        expect(Harness.slotIn(yield* store.beat("relay-b", false), 4)).toEqual(again)
        expect(again?.suspect).toBe(true)
      }))
  })

/** Every write that needs a lease. */
const fencedWrites = (
  store: Harness.Store,
  lease: OutboxStore.Lease,
  message: Parameters<typeof Harness.settlementOf>[0] & Parameters<Harness.Store["confirm"]>[0][number]
) => ({
  settle: store.settle(lease, [Harness.settlementOf(message, { dead: ["mirror"] })]),
  settleBehind: store.settleBehind(lease, "mirror", { confirmed: [message], dead: [] }),
  mark: store.mark(lease, "mirror", [message], 1),
  release: store.release(lease),
  clearSuspects: store.clearSuspects(lease),
  sweepOrphans: store.sweepOrphans(lease)
})

const fencing = (test: Harness.Define) =>
  describe("a lease", () => {
    test("of an expelled relay writes nothing, though nobody else has its slots yet", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        yield* Harness.expel(store)
        for (const [name, write] of Object.entries(fencedWrites(store, lease, one))) {
          expect([name, yield* Harness.reasonOf(write)]).toEqual([name, "StaleLease"])
        }
        const found = yield* Harness.readBehind(store, "mirror")
        expect(found).toEqual([{ _tag: "Message", message: one }])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 1, dead: 0 })
        expect(Harness.slotIn(yield* Harness.look(store), one.slot)?.owner).toBe("relay-a")
      }))

    test("that has lost one slot writes nothing of a batch, and goes on with the slots it has", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, two } = yield* Harness.prepare(harness)
        yield* store.release({ ...lease, epochs: new Map([[other.slot, lease.epochs.get(other.slot) ?? 0]]) })
        yield* Harness.enter(store, "relay-b", [other.slot])
        const settle = store.settle(lease, [
          Harness.settlementOf(one, { behind: ["mirror"] }),
          Harness.settlementOf(two, { dead: ["mirror"] }),
          Harness.settlementOf(other, { behind: ["mirror"] })
        ])
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
        expect(yield* Harness.reasonOf(store.mark(lease, "mirror", [one, other], 1))).toBe("StaleLease")
        expect(yield* store.stats).toMatchObject({ ready: 4, behind: 0, dead: 0 })
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([])
        expect(yield* Harness.readReady(store, [one.slot])).toContainEqual({ _tag: "Message", message: one })
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([one.id])
      }))

    test("is judged when the write is made, not before", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        const settle = store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        yield* Harness.takeOver(store)
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
      }))

    test("is stale once released", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.release(lease)
        const settle = store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
      }))

    test("that never was writes nothing", (harness) =>
      Effect.gen(function* () {
        const { one, store } = yield* Harness.prepare(harness)
        const nobody = { owner: "nobody", epochs: new Map() }
        const dead = [Harness.settlementOf(one, { dead: ["mirror"] })]
        expect(yield* Harness.reasonOf(store.settle(nobody, dead))).toBe("StaleLease")
        const unclaimed = { owner: "relay-a", epochs: new Map() }
        expect(yield* Harness.reasonOf(store.settle(unclaimed, dead))).toBe("StaleLease")
        expect((yield* store.stats).dead).toBe(0)
      }))

    test("has written what it says it has, and nothing it says it has not, when it is ended meanwhile", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const messages = MessageFixture.ofKey("customer/1", 12)
        yield* Harness.commit(harness, messages)
        const lease = yield* Harness.enter(store)
        const settle = (message: (typeof messages)[number]) =>
          Harness.reasonOf(store.settle(lease, [Harness.settlementOf(message, { behind: ["mirror"] })]))
        const [reasons] = yield* Effect.all(
          [
            Effect.forEach(messages, settle, { concurrency: 3 }),
            Effect.delay(Harness.expel(store), "5 millis")
          ],
          { concurrency: "unbounded" }
        )
        const behind = new Set(yield* Harness.behindIds(store, "mirror"))
        messages.forEach(({ id }, at) => {
          if (reasons[at] === "Success") expect(behind).toContain(id)
          if (reasons[at] === "StaleLease") expect(behind).not.toContain(id)
        })
        const last = MessageFixture.make({ sequence: 99 })
        yield* Harness.commit(harness, [last])
        expect(yield* settle(last)).toBe("StaleLease")
        expect(yield* Harness.behindIds(store, "mirror")).toHaveLength(behind.size)
      }))
  })

const marking = (test: Harness.Define) =>
  describe("a mark", () => {
    test("is set by sink, once or twice, and shows when the message is read, ready or behind", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store, two } = yield* Harness.prepare(harness)
        yield* store.mark(lease, "mirror", [one, two], 1)
        yield* store.mark(lease, "mirror", [one], 2)
        // A reply that was lost: the same again.
        yield* store.mark(lease, "mirror", [one], 2)
        yield* store.mark(lease, "Kafka_2-x", [one], 1)
        yield* store.settle(lease, [Harness.settlementOf(two, { behind: ["mirror"] })])
        expect(yield* Harness.readReady(store, [one.slot])).toContainEqual({
          _tag: "Message",
          message: one,
          marks: { mirror: 2, "Kafka_2-x": 1 }
        })
        expect(yield* Harness.readBehind(store, "mirror")).toEqual([
          { _tag: "Message", message: two, marks: { mirror: 1 } }
        ])
      }))

    test("is taken back when the sink has answered", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.mark(lease, "mirror", [one], 2)
        yield* store.mark(lease, "kafka", [one], 1)
        yield* store.mark(lease, "mirror", [one], 1)
        const marksOf = Effect.map(Harness.readReady(store, [one.slot]), (found) =>
          found.flatMap((stored) =>
            stored._tag === "Message" && stored.message.id === one.id ? [stored.marks] : []
          )
        )
        expect(yield* marksOf).toEqual([{ mirror: 1, kafka: 1 }])
        yield* store.mark(lease, "mirror", [one], 0)
        const [marks] = yield* marksOf
        expect([marks?.["mirror"] ?? 0, marks?.["kafka"]]).toEqual([0, 1])
      }))

    test("on what is gone does nothing", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, three, two } = yield* Harness.prepare(harness)
        yield* store.confirm([one])
        yield* store.mark(lease, "mirror", [one, { id: "unknown", slot: one.slot }], 1)
        yield* store.mark(lease, "mirror", [], 1)
        const left = [two, three, other].map((message) => ({ _tag: "Message", message }))
        const found = yield* Harness.readReady(store)
        expect(found).toHaveLength(3)
        expect(found).toEqual(expect.arrayContaining(left))
      }))
  })

/** Who takes part, who owns what, and who may write. */
export const define = (test: Harness.Define): void => {
  joining(test)
  viewing(test)
  claiming(test)
  returning(test)
  fencing(test)
  marking(test)
}
