import { Key, Slot, type Message, type OutboxStore } from "@twinbox/outbox"
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import * as Harness from "./StoreHarness.ts"

const byPlace = (a: Message.Message, b: Message.Message): number =>
  a.slot - b.slot ||
  (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) ||
  a.sequence - b.sequence ||
  a.ordinal - b.ordinal

/** 1,200 messages of 150 keys, so many that every store needs several batches; in no order. */
const manyMessages = (): ReadonlyArray<Message.Message> => {
  const messages = Array.from({ length: 150 }, (_, id) =>
    [2, 9, 10, 100].flatMap((sequence) =>
      [0, 1].map((ordinal) =>
        MessageFixture.make({ key: Key.make("customer", String(id)), sequence, ordinal })
      )
    )
  ).flat()
  // 7 and 1,200 have no divisor in common: this takes each message once.
  return messages.map((_, at) => messages[(at * 7) % messages.length] ?? MessageFixture.make())
}

const commitInFours = (harness: Harness.StoreHarness, messages: ReadonlyArray<Message.Message>) =>
  Effect.forEach([0, 300, 600, 900], (from) => Harness.commit(harness, messages.slice(from, from + 300)), {
    discard: true
  })

const reading = (test: Harness.Define) =>
  describe("readReady", () => {
    test("goes forward by slot, key, sequence, ordinal, over several batches, to an empty one", (harness) =>
      Effect.gen(function* () {
        const messages = manyMessages()
        yield* commitInFours(harness, messages)
        const cursor = yield* harness.store.readReady({ slots: Slot.all })
        const batches = yield* Harness.batchesOf(cursor)
        expect(batches.length).toBeGreaterThan(1)
        expect(Harness.idsOf(batches.flat())).toEqual(messages.toSorted(byPlace).map(({ id }) => id))
        expect(yield* cursor.next).toEqual([])
      }))

    test("shows only the slots asked for", (harness) =>
      Effect.gen(function* () {
        const messages = Harness.keysOfDistinctSlots(4).map((key) => MessageFixture.make({ key }))
        yield* Harness.commit(harness, messages)
        const wanted = messages.slice(1, 3)
        const found = yield* Harness.readReady(
          harness.store,
          wanted.map(({ slot }) => slot)
        )
        expect(new Set(Harness.idsOf(found))).toEqual(new Set(wanted.map(({ id }) => id)))
        expect(yield* Harness.readReady(harness.store, [])).toEqual([])
      }))

    test("sees all that committed before the position of a feed", (harness) =>
      Effect.gen(function* () {
        const ids: Array<string> = []
        for (let sequence = 1; sequence <= 10; sequence++) {
          const message = MessageFixture.make({ sequence })
          yield* Harness.commit(harness, [message])
          ids.push(message.id)
          const feed = yield* harness.store.watch([message.slot])
          const cursor = yield* harness.store.readReady({ slots: Slot.all, since: feed.position })
          const found = (yield* Harness.batchesOf(cursor)).flat()
          expect(Harness.idsOf(found)).toEqual(ids)
        }
      }))

    test("shows nothing of the store's own bookkeeping", ({ store, transact }) =>
      Effect.gen(function* () {
        const lease = yield* Harness.enter(store)
        yield* store.registerSinks([{ name: "mirror", topics: ["customers"], isMirror: true }])
        yield* transact(store.reserveSequences(new Map([["customer/1", 1]])))
        yield* store.beat(lease.owner, true)
        yield* store.release(lease)
        expect(yield* Harness.readReady(store)).toEqual([])
        expect(yield* Harness.readBehind(store, "mirror")).toEqual([])
        expect(yield* store.stats).toEqual({
          ready: 0,
          behind: 0,
          dead: 0,
          scheduled: 0,
          delivered: 0,
          oldestCreatedAt: undefined,
          sinks: new Map([["mirror", { behind: 0, dead: 0, blockedKeys: 0, oldestCreatedAt: undefined }]])
        })
      }))

    test("shows a record that is no message as corrupt, with its id and slot", (harness) =>
      Effect.gen(function* () {
        const message = MessageFixture.make()
        yield* Harness.commit(harness, [message])
        yield* harness.insertCorrupt("broken", 3)
        const found = yield* Harness.readReady(harness.store)
        expect(new Set(Harness.idsOf(found))).toEqual(new Set([message.id, "broken"]))
        const corrupt = found.find((stored) => stored._tag === "Corrupt")
        expect(corrupt?.slot).toBe(3)
        expect(corrupt?.issues.length).toBeGreaterThan(0)
      }))
  })

const feeding = (test: Harness.Define) =>
  describe("watch", () => {
    const idsUntil = (feed: OutboxStore.Feed, id: string) =>
      Effect.map(Harness.readFeedUntil(feed, id), Harness.idsOf)

    test("gives what commits, in the order of commits and as it was written", (harness) =>
      Effect.gen(function* () {
        const feed = yield* harness.store.watch(Slot.all)
        const keys = Harness.keysOfDistinctSlots(5)
        const messages = Array.from({ length: 60 }, (_, at) =>
          MessageFixture.make({ key: keys[at % 5] ?? "customer/0", sequence: 100 - at })
        )
        for (let at = 0; at < messages.length; at += 3)
          yield* Harness.commit(harness, messages.slice(at, at + 3))
        const seen = yield* Harness.readFeedUntil(feed, messages.at(-1)?.id ?? "")
        expect(seen).toEqual(messages.map((message) => ({ _tag: "Message", message })))
      }))

    test("gives nothing from before it was opened", (harness) =>
      Effect.gen(function* () {
        yield* Harness.commit(harness, [MessageFixture.make({ id: "before" })])
        const feed = yield* harness.store.watch(Slot.all)
        yield* Harness.commit(harness, [MessageFixture.make({ id: "after", sequence: 2 })])
        expect(yield* idsUntil(feed, "after")).toEqual(["after"])
      }))

    test("gives its own slots only", (harness) =>
      Effect.gen(function* () {
        const [mine, other] = Harness.keysOfDistinctSlots(2).map((key) => MessageFixture.make({ key }))
        if (mine === undefined || other === undefined) return yield* Effect.dieMessage("no keys")
        const feed = yield* harness.store.watch([mine.slot])
        yield* Harness.commit(harness, [other])
        yield* Harness.commit(harness, [mine])
        expect(yield* idsUntil(feed, mine.id)).toEqual([mine.id])
      }))

    test("gives nothing of a transaction that aborts", (harness) =>
      Effect.gen(function* () {
        const feed = yield* harness.store.watch(Slot.all)
        yield* Harness.abort(harness, [MessageFixture.make({ id: "aborted" })])
        yield* Harness.commit(harness, [MessageFixture.make({ id: "committed", sequence: 2 })])
        expect(yield* idsUntil(feed, "committed")).toEqual(["committed"])
      }))

    test(
      "gives nothing but inserts of messages that are ready",
      (harness) =>
        Effect.gen(function* () {
          const { admin, store } = harness
          const feed = yield* store.watch(Slot.all)
          const [first, second, third] = MessageFixture.threeOf("customer/1")
          const messages = [first, second, third]
          const lease = yield* Harness.enter(store)
          yield* Harness.commit(harness, messages)
          yield* Harness.commit(harness, [MessageFixture.make({ sequence: 9, availableAt: 1 })])
          expect(yield* store.promote(Slot.all)).toBe(1)
          yield* store.registerSinks([MessageFixture.registeredSink("mirror")])
          yield* store.mark(lease, "mirror", messages, 1)
          yield* store.settle(lease, [
            Harness.settlementOf(first, { behind: ["mirror"] }),
            Harness.settlementOf(second, { dead: ["mirror"] })
          ])
          yield* store.settleBehind(lease, "mirror", { confirmed: [first], dead: [] })
          expect(yield* admin.requeue({})).toMatchObject({ requeued: 1 })
          yield* store.confirm([third])
          expect(yield* admin.replay({ sink: "mirror" })).toBe(2)
          yield* store.release(lease)
          yield* Harness.commit(harness, [MessageFixture.make({ id: "end", sequence: 4 })])
          expect(yield* idsUntil(feed, "end")).toEqual([...messages.map(({ id }) => id), "end"])
        }),
      { keepDelivered: 600_000 }
    )

    test("returns after a while when nothing commits, and goes on afterwards", (harness) =>
      Effect.gen(function* () {
        const feed = yield* harness.store.watch(Slot.all)
        expect(yield* Effect.timeout(feed.next, "20 seconds")).toEqual([])
        yield* Harness.commit(harness, [MessageFixture.make({ id: "late" })])
        expect(yield* idsUntil(feed, "late")).toEqual(["late"])
      }))

    test("loses nothing when waiting for it is interrupted", (harness) =>
      Effect.gen(function* () {
        const feed = yield* harness.store.watch(Slot.all)
        yield* Effect.timeoutOption(feed.next, "20 millis")
        yield* Harness.commit(harness, [MessageFixture.make({ id: "one" })])
        expect(yield* idsUntil(feed, "one")).toEqual(["one"])
      }))

    test("serves several feeds", (harness) =>
      Effect.gen(function* () {
        const feeds = yield* Effect.all([harness.store.watch(Slot.all), harness.store.watch(Slot.all)])
        const [first, second] = feeds
        yield* Harness.commit(harness, [MessageFixture.make({ id: "one" })])
        expect(yield* idsUntil(first, "one")).toEqual(["one"])
        expect(yield* idsUntil(second, "one")).toEqual(["one"])
      }))
  })

/** Reading: the collection and the feed. */
export const define = (test: Harness.Define): void => {
  reading(test)
  feeding(test)
}
