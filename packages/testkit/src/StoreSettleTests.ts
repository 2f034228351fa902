import { Key, Slot, type Message } from "@twinbox/outbox"
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import * as Harness from "./StoreHarness.ts"

const ids = (messages: ReadonlyArray<Message.Message>) => messages.map(({ id }) => id)

/** Three messages of one key, one of another, and a lease over all slots. */
const prepare = (harness: Harness.StoreHarness) =>
  Effect.gen(function* () {
    const [key, otherKey] = Harness.keysOfDistinctSlots(2)
    if (key === undefined || otherKey === undefined) return yield* Effect.dieMessage("no keys")
    const one = MessageFixture.make({ key, sequence: 1 })
    const two = MessageFixture.make({ key, sequence: 2 })
    const three = MessageFixture.make({ key, sequence: 3 })
    const other = MessageFixture.make({ key: otherKey })
    yield* Harness.commit(harness, [one, two, three, other])
    const lease = yield* Harness.claimAll(harness.store)
    return { key, otherKey, one, two, three, other, lease, store: harness.store }
  })

const confirming = (test: Harness.Define) =>
  describe("confirm", () => {
    test("deletes messages, once or twice, and no others", (harness) =>
      Effect.gen(function* () {
        const { one, other, store, three, two } = yield* prepare(harness)
        yield* store.confirm([one.id, two.id])
        yield* store.confirm([one.id, two.id, "never there"])
        yield* store.confirm([])
        expect(new Set(yield* Harness.readyIds(store))).toEqual(new Set([three.id, other.id]))
      }))

    test("frees the place", (harness) =>
      Effect.gen(function* () {
        const { one, store } = yield* prepare(harness)
        yield* store.confirm([one.id])
        yield* Harness.commit(harness, [{ ...one, id: "again" }])
        expect(yield* Harness.readyIds(store)).toContain("again")
      }))
  })

const leasing = (test: Harness.Define) =>
  describe("a lease", () => {
    test("names every slot claimed, with an epoch that rises with each claim", ({ store }) =>
      Effect.gen(function* () {
        const first = yield* store.claim("relay-a", [1, 2, 255])
        const second = yield* store.claim("relay-b", [2])
        yield* store.release(second)
        const third = yield* store.claim("relay-b", [2])
        expect(first.owner).toBe("relay-a")
        expect([...first.epochs.keys()].toSorted((a, b) => a - b)).toEqual([1, 2, 255])
        const epochs = [first, second, third].map(({ epochs }) => epochs.get(2) ?? 0)
        expect(epochs).toEqual([...new Set(epochs)].toSorted((a, b) => a - b))
      }))

    test("that is stale writes nothing, also not for the slots it still has", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, two } = yield* prepare(harness)
        yield* store.claim("relay-b", [other.slot])
        const settle = store.settle(lease, [
          Harness.settlementOf(one, { behind: ["mirror"] }),
          Harness.settlementOf(two, { dead: ["mirror"] }),
          Harness.settlementOf(other, { behind: ["mirror"] })
        ])
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
        expect(yield* store.stats).toMatchObject({ ready: 4, behind: 0, dead: 0 })
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([])
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([one.id])
      }))

    test("is judged when the write is made, not before", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        const settle = store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        yield* Harness.claimAll(store, "relay-b")
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
      }))

    test("is stale after another claim by the same owner", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.claim(lease.owner, [one.slot])
        const settle = store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
      }))

    test("is stale once released", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.release(lease)
        const settle = store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
      }))

    test("released late leaves the slots of a new owner alone", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        const next = yield* Harness.claimAll(store, "relay-b")
        yield* store.release(lease)
        yield* store.settle(next, [Harness.settlementOf(one, { behind: ["mirror"] })])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([one.id])
      }))

    test("that never was writes nothing", (harness) =>
      Effect.gen(function* () {
        const { one, store } = yield* prepare(harness)
        const settle = store.settle({ owner: "nobody", epochs: new Map() }, [
          Harness.settlementOf(one, { dead: ["mirror"] })
        ])
        expect(yield* Harness.reasonOf(settle)).toBe("StaleLease")
        expect((yield* store.stats).dead).toBe(0)
      }))
  })

const leavingBehind = (test: Harness.Define) =>
  describe("what is left behind", () => {
    test("is no longer ready, and shows in order to the sinks that owe it", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, three, two } = yield* prepare(harness)
        yield* store.settle(lease, [
          Harness.settlementOf(three, { behind: ["mirror", "kafka"] }),
          Harness.settlementOf(one, { behind: ["mirror"] }),
          Harness.settlementOf(two, { behind: ["kafka"] })
        ])
        expect(yield* Harness.readyIds(store)).toEqual([other.id])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual(ids([one, three]))
        expect(yield* Harness.behindIds(store, "kafka")).toEqual(ids([two, three]))
        expect(yield* Harness.behindIds(store, "export")).toEqual([])
        expect(yield* Harness.readBehind(store, "mirror", [other.slot])).toEqual([])
      }))

    test("is read forward over several batches, unchanged", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const keys = Array.from({ length: 30 }, (_, id) => Key.make("customer", String(id)))
        const messages = keys.flatMap((key) => MessageFixture.ofKey(key, 40))
        yield* Harness.commit(harness, messages)
        const lease = yield* Harness.claimAll(store)
        yield* store.settle(
          lease,
          messages.map((message) => Harness.settlementOf(message, { behind: ["mirror"] }))
        )
        const ordered = messages.toSorted(
          (a, b) => a.slot - b.slot || (a.key < b.key ? -1 : Number(a.key > b.key))
        )
        const cursor = yield* store.readBehind({ sink: "mirror", slots: Slot.all })
        const batches = yield* Harness.batchesOf(cursor)
        expect(batches.length).toBeGreaterThan(1)
        expect(batches.flat()).toEqual(ordered.map((message) => ({ _tag: "Message", message })))
        expect(yield* cursor.next).toEqual([])
      }))

    test("stays for one sink when another confirms it, and goes with the last", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror", "kafka"] })])
        yield* store.confirmBehind(lease, "mirror", [one])
        yield* store.confirmBehind(lease, "mirror", [one])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([one.id])
        yield* store.confirmBehind(lease, "kafka", [one, { id: "unknown", slot: 0 }])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0 })
      }))

    test("is confirmed under the lease only", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        yield* Harness.claimAll(store, "relay-b")
        const late = store.confirmBehind(lease, "mirror", [one])
        expect(yield* Harness.reasonOf(late)).toBe("StaleLease")
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([one.id])
      }))

    test("is not what a ready message is: that one cannot be confirmed as such", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.confirmBehind(lease, "mirror", [one])
        expect(yield* Harness.readyIds(store)).toContain(one.id)
      }))
  })

const dying = (test: Harness.Define) =>
  describe("a dead letter", () => {
    test("leaves the outbox and blocks its key at its sink only", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, other, store } = yield* prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { dead: ["mirror"] })])
        expect(yield* Harness.readyIds(store)).not.toContain(one.id)
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
        expect(yield* store.blockedKeys({ sink: "kafka", slots: Slot.all })).toEqual([])
        expect(yield* store.blockedKeys({ sink: "mirror", slots: [other.slot] })).toEqual([])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0, dead: 1 })
      }))

    test("blocks nothing when its sink goes on without it", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { dead: ["mirror"], blocks: false })])
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([])
      }))

    test("keeps the later messages of its key out of what that sink reads, and nobody else's", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, three, two } = yield* prepare(harness)
        yield* store.settle(lease, [
          Harness.settlementOf(one, { dead: ["mirror"] }),
          Harness.settlementOf(two, { behind: ["mirror", "kafka"] }),
          Harness.settlementOf(three, { behind: ["mirror"] }),
          Harness.settlementOf(other, { behind: ["mirror"] })
        ])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([other.id])
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([two.id])
      }))

    test("of one sink stays behind for the others", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, store } = yield* prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { dead: ["mirror"], behind: ["kafka"] })])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 1, dead: 1 })
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([one.id])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
        yield* store.confirmBehind(lease, "kafka", [one])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0, dead: 1 })
      }))

    test("is kept once for each sink that gave up, also when it is settled twice", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, store } = yield* prepare(harness)
        const settle = store.settle(lease, [
          Harness.settlementOf(one, { dead: ["mirror", "kafka"], behind: ["export"] })
        ])
        yield* settle
        yield* settle
        expect((yield* store.stats).dead).toBe(2)
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
        expect(yield* store.blockedKeys({ sink: "kafka", slots: Slot.all })).toEqual([key])
      }))

    test("lists a key once however many of its messages died", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, store, two } = yield* prepare(harness)
        yield* store.settle(
          lease,
          [one, two].map((message) => Harness.settlementOf(message, { dead: ["mirror"] }))
        )
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
      }))

    test("of an unknown message is none", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.settle(lease, [
          Harness.settlementOf({ id: "unknown", slot: one.slot }, { dead: ["mirror"], behind: ["kafka"] })
        ])
        yield* store.settle(lease, [])
        expect(yield* store.stats).toMatchObject({ ready: 4, behind: 0, dead: 0 })
      }))

    test("comes of a corrupt record, and blocks no key", (harness) =>
      Effect.gen(function* () {
        if (harness.insertCorrupt === undefined) return
        const { lease, store } = yield* prepare(harness)
        yield* harness.insertCorrupt("broken")
        const found = yield* Harness.readReady(store)
        const corrupt = found.flatMap((stored) => (stored._tag === "Corrupt" ? [stored] : []))
        expect(corrupt).toHaveLength(1)
        yield* store.settle(
          lease,
          corrupt.map((record) => Harness.settlementOf(record, { dead: ["*"] }))
        )
        expect(Harness.idsOf(yield* Harness.readReady(store))).not.toContain("broken")
        expect(yield* store.stats).toMatchObject({ ready: 4, dead: 1 })
        expect(yield* store.blockedKeys({ sink: "*", slots: Slot.all })).toEqual([])
      }))

    test("or behind: a settlement that says neither deletes the message", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one)])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0, dead: 0 })
      }))
  })

const counting = (test: Harness.Define) =>
  describe("the outbox as a whole", () => {
    test("knows its sinks; registering one again updates it", ({ store }) =>
      Effect.gen(function* () {
        yield* store.registerSinks([
          { name: "mirror", topics: ["a"] },
          { name: "kafka", topics: [] }
        ])
        yield* store.registerSinks([{ name: "mirror", topics: ["a", "b"] }])
        yield* store.registerSinks([])
        const sinks = new Map((yield* store.sinks).map(({ name, topics }) => [name, topics]))
        expect(sinks).toEqual(
          new Map([
            ["mirror", ["a", "b"]],
            ["kafka", []]
          ])
        )
      }))

    test("counts ready, behind and dead, and names the oldest not yet delivered", (harness) =>
      Effect.gen(function* () {
        const { store } = harness
        const [oldest, older, newest] = [3_000, 2_000, 4_000].map((createdAt, at) =>
          MessageFixture.make({ sequence: at + 1, createdAt })
        )
        if (oldest === undefined || older === undefined || newest === undefined) return
        yield* Harness.commit(harness, [oldest, older, newest])
        const lease = yield* Harness.claimAll(store)
        expect(yield* store.stats).toEqual({ ready: 3, behind: 0, dead: 0, oldestCreatedAt: 2_000 })
        yield* store.settle(lease, [Harness.settlementOf(older, { behind: ["mirror"] })])
        expect(yield* store.stats).toEqual({ ready: 2, behind: 1, dead: 0, oldestCreatedAt: 2_000 })
        yield* store.confirmBehind(lease, "mirror", [older])
        yield* store.settle(lease, [Harness.settlementOf(oldest, { dead: ["mirror"] })])
        expect(yield* store.stats).toEqual({ ready: 1, behind: 0, dead: 1, oldestCreatedAt: 4_000 })
        yield* store.confirm([newest.id])
        expect(yield* store.stats).toEqual({ ready: 0, behind: 0, dead: 1, oldestCreatedAt: undefined })
      }))
  })

/** What becomes of messages: confirmed, behind, dead; and who may write it down. */
export const define = (test: Harness.Define): void => {
  confirming(test)
  leasing(test)
  leavingBehind(test)
  dying(test)
  counting(test)
}
