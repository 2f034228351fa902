import { Key, OutboxStore, Slot, type Message } from "@twinbox/outbox"
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import * as Harness from "./StoreHarness.ts"

const ids = (messages: ReadonlyArray<Message.Message>) => messages.map(({ id }) => id)

const confirming = (test: Harness.Define) =>
  describe("confirm", () => {
    test("deletes messages, once or twice, and no others", (harness) =>
      Effect.gen(function* () {
        const { one, other, store, three, two } = yield* Harness.prepare(harness)
        yield* store.confirm([one, two])
        yield* store.confirm([one, two, MessageFixture.make()])
        yield* store.confirm([])
        expect(new Set(yield* Harness.readyIds(store))).toEqual(new Set([three.id, other.id]))
      }))

    test("leaves alone what was left behind meanwhile: it is owed", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror"] })])
        yield* store.confirm([one])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([one.id])
      }))

    test("frees the place", (harness) =>
      Effect.gen(function* () {
        const { one, store } = yield* Harness.prepare(harness)
        yield* store.confirm([one])
        yield* Harness.commit(harness, [{ ...one, id: "again" }])
        expect(yield* Harness.readyIds(store)).toContain("again")
      }))
  })

const leavingBehind = (test: Harness.Define) =>
  describe("what is left behind", () => {
    test("is no longer ready, and shows in order to the sinks that owe it", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, three, two } = yield* Harness.prepare(harness)
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
        const lease = yield* Harness.enter(store)
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

    test("is not read for keys that the reader leaves out", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, other, otherKey, store } = yield* Harness.prepare(harness)
        yield* store.settle(
          lease,
          [one, other].map((message) => Harness.settlementOf(message, { behind: ["mirror"] }))
        )
        const idsWithout = (without: ReadonlyArray<string>) =>
          Effect.scoped(
            Effect.flatMap(store.readBehind({ sink: "mirror", slots: Slot.all, without }), (cursor) =>
              Effect.map(Harness.batchesOf(cursor), (batches) => Harness.idsOf(batches.flat()))
            )
          )
        expect(yield* idsWithout([key])).toEqual([other.id])
        expect(yield* idsWithout([key, otherKey])).toEqual([])
        expect(yield* idsWithout([])).toHaveLength(2)
      }))
  })

const settlingBehind = (test: Harness.Define) =>
  describe("settleBehind", () => {
    test("takes a message from one sink when it has it, and ends it with the last", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { behind: ["mirror", "kafka"] })])
        const confirmed = { confirmed: [one], dead: [] }
        yield* store.settleBehind(lease, "mirror", confirmed)
        yield* store.settleBehind(lease, "mirror", confirmed)
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([one.id])
        const unknown = MessageFixture.make({ key: one.key, sequence: 50 })
        yield* store.settleBehind(lease, "kafka", { confirmed: [one, unknown], dead: [] })
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0, dead: 0 })
      }))

    test("gives messages up for one sink, which stay behind for the others", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, store, three, two } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [
          Harness.settlementOf(one, { behind: ["mirror"] }),
          Harness.settlementOf(two, { behind: ["mirror", "kafka"] }),
          Harness.settlementOf(three, { behind: ["mirror"] })
        ])
        const outcome = {
          confirmed: [one],
          dead: [Harness.deadLetter(two, "mirror"), Harness.deadLetter(three, "mirror", { blocks: false })]
        }
        yield* store.settleBehind(lease, "mirror", outcome)
        yield* store.settleBehind(lease, "mirror", outcome)
        expect(yield* store.stats).toMatchObject({ ready: 1, behind: 1, dead: 2 })
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([two.id])
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
      }))

    test("leaves alone what is not behind for that sink", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, two } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(other, { behind: ["kafka"] })])
        yield* store.settleBehind(lease, "mirror", {
          confirmed: [one, other],
          dead: [Harness.deadLetter(two, "mirror"), Harness.deadLetter({ ...one, id: "unknown" }, "mirror")]
        })
        expect(yield* Harness.readyIds(store)).toHaveLength(3)
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([other.id])
        expect((yield* store.stats).dead).toBe(0)
      }))

    test("writes nothing at all when one slot is no longer the lease's", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, two } = yield* Harness.prepare(harness)
        yield* store.settle(
          lease,
          [one, two, other].map((message) => Harness.settlementOf(message, { behind: ["mirror"] }))
        )
        yield* store.claim(lease.owner, [other.slot])
        for (const outcome of [
          { confirmed: [one, other], dead: [Harness.deadLetter(two, "mirror")] },
          { confirmed: [one, two], dead: [Harness.deadLetter(other, "mirror")] }
        ]) {
          const late = store.settleBehind(lease, "mirror", outcome)
          expect(yield* Harness.reasonOf(late)).toBe("StaleLease")
        }
        expect(yield* Harness.behindIds(store, "mirror")).toHaveLength(3)
        expect((yield* store.stats).dead).toBe(0)
      }))
  })

const dying = (test: Harness.Define) =>
  describe("a dead letter", () => {
    test("leaves the outbox and blocks its key at its sink only", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, other, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { dead: ["mirror"] })])
        expect(yield* Harness.readyIds(store)).not.toContain(one.id)
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
        expect(yield* store.blockedKeys({ sink: "kafka", slots: Slot.all })).toEqual([])
        expect(yield* store.blockedKeys({ sink: "mirror", slots: [other.slot] })).toEqual([])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0, dead: 1 })
      }))

    test("blocks nothing when its sink goes on without it", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [
          Harness.settlementOf(one, { dead: ["mirror"], fields: { blocks: false } })
        ])
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([])
      }))

    test("keeps the later messages of its key out of what that sink reads, and nobody else's", (harness) =>
      Effect.gen(function* () {
        const { lease, one, other, store, three, two } = yield* Harness.prepare(harness)
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
        const { key, lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { dead: ["mirror"], behind: ["kafka"] })])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 1, dead: 1 })
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([one.id])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
        yield* store.settleBehind(lease, "kafka", { confirmed: [one], dead: [] })
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0, dead: 1 })
      }))

    test("is kept once for each sink that gave up, also when it is settled twice", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, store } = yield* Harness.prepare(harness)
        const settle = store.settle(lease, [
          Harness.settlementOf(one, { dead: ["mirror", "kafka"], behind: ["export"] })
        ])
        yield* settle
        yield* settle
        expect((yield* store.stats).dead).toBe(2)
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
        expect(yield* store.blockedKeys({ sink: "kafka", slots: Slot.all })).toEqual([key])
      }))

    test("keeps the newest of the attempts that failed, and no more than the limit", (harness) =>
      Effect.gen(function* () {
        const { admin, lease, one, other, store } = yield* Harness.prepare(harness)
        const history = Array.from({ length: OutboxStore.maxHistory + 5 }, (_, at) => ({
          at,
          reason: "Rejected",
          error: `attempt ${at}`
        }))
        yield* store.settle(lease, [
          Harness.settlementOf(one, { dead: ["mirror"], fields: { history } }),
          Harness.settlementOf(other, { behind: ["mirror"] })
        ])
        yield* store.settleBehind(lease, "mirror", {
          confirmed: [],
          dead: [Harness.deadLetter(other, "mirror", { history })]
        })
        const { letters } = yield* admin.deadLetters({ filter: {}, limit: 10 })
        const newest = history.slice(-OutboxStore.maxHistory)
        expect(letters.map((letter) => letter.history)).toEqual([newest, newest])
      }))

    test("lists a key once however many of its messages died", (harness) =>
      Effect.gen(function* () {
        const { key, lease, one, store, two } = yield* Harness.prepare(harness)
        yield* store.settle(
          lease,
          [one, two].map((message) => Harness.settlementOf(message, { dead: ["mirror"] }))
        )
        expect(yield* store.blockedKeys({ sink: "mirror", slots: Slot.all })).toEqual([key])
      }))

    test("of an unknown message is none", (harness) =>
      Effect.gen(function* () {
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [
          Harness.settlementOf({ id: "unknown", slot: one.slot }, { dead: ["mirror"], behind: ["kafka"] })
        ])
        yield* store.settle(lease, [])
        expect(yield* store.stats).toMatchObject({ ready: 4, behind: 0, dead: 0 })
      }))

    test("comes of a corrupt record, and blocks no key", (harness) =>
      Effect.gen(function* () {
        const { lease, store } = yield* Harness.prepare(harness)
        yield* harness.insertCorrupt("broken", 3)
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
        const { lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one)])
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 0, dead: 0 })
      }))
  })

/** What becomes of messages: confirmed, behind, dead. */
export const define = (test: Harness.Define): void => {
  confirming(test)
  leavingBehind(test)
  settlingBehind(test)
  dying(test)
}
