import { Key, Slot, Transaction } from "@twinbox/outbox"
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import * as Harness from "./StoreHarness.ts"

const key = Key.make("customer", "1")
const otherKey = Key.make("customer", "2")

const appending = (test: Harness.Define) =>
  describe("append", () => {
    test("commits with its transaction", (harness) =>
      Effect.gen(function* () {
        const messages = MessageFixture.ofKey(key, 3)
        yield* Harness.commit(harness, messages)
        expect(yield* Harness.readyIds(harness.store)).toEqual(messages.map(({ id }) => id))
      }))

    test("leaves nothing behind when its transaction aborts", (harness) =>
      Effect.gen(function* () {
        expect(yield* Harness.abort(harness, MessageFixture.ofKey(key, 3))).toBe("aborted")
        expect(yield* Harness.readyIds(harness.store)).toEqual([])
        expect((yield* harness.store.stats).ready).toBe(0)
      }))

    test("of several calls commits all or nothing", (harness) =>
      Effect.gen(function* () {
        const { store, transact } = harness
        const [first, second] = [MessageFixture.make({ key }), MessageFixture.make({ key: otherKey })]
        const both = Effect.zipRight(store.append([first]), store.append([second]))
        yield* Effect.flip(transact(Effect.zipRight(both, Effect.fail("aborted"))))
        expect(yield* Harness.readyIds(store)).toEqual([])
        yield* transact(both)
        expect(new Set(yield* Harness.readyIds(store))).toEqual(new Set([first.id, second.id]))
      }))

    test("of nothing does nothing", (harness) =>
      Effect.gen(function* () {
        yield* Harness.commit(harness, [])
        expect(yield* Harness.readyIds(harness.store)).toEqual([])
      }))

    test("keeps payload, headers and everything else exactly", (harness) =>
      Effect.gen(function* () {
        const payloads = [null, "", '{"name":"Ærø 東京 😀 \\u0000"}', JSON.stringify("ä".repeat(524_288))]
        const headers = {
          "schema-version": "7",
          traceparent: "00-a-b-01",
          empty: "",
          "x.y": "dots",
          $z: "a dollar",
          naïve: "ü"
        }
        const messages = payloads.map((payload, at) =>
          MessageFixture.make({ key, sequence: at + 1, ordinal: at, payload, headers, createdAt: 1_000 + at })
        )
        yield* Harness.commit(harness, messages)
        const found = yield* Harness.readReady(harness.store)
        expect(found).toEqual(messages.map((message) => ({ _tag: "Message", message })))
      }))

    test("refuses a transaction of another adapter", ({ store }) =>
      Effect.gen(function* () {
        const foreign = Effect.provideService(Transaction.Transaction, { adapter: "somebody else" })
        const append = foreign(store.append([MessageFixture.make()]))
        expect(yield* Harness.reasonOf(append)).toBe("WrongTransaction")
        const reserve = foreign(store.reserveSequences(new Map([[key, 1]])))
        expect(yield* Harness.reasonOf(reserve)).toBe("WrongTransaction")
        expect(yield* Harness.readyIds(store)).toEqual([])
      }))
  })

const places = (test: Harness.Define) =>
  describe("a place that is taken", () => {
    const taken = MessageFixture.make({ key, sequence: 3, ordinal: 1 })

    test("is refused, and nothing of the transaction commits", (harness) =>
      Effect.gen(function* () {
        yield* Harness.commit(harness, [taken])
        const second = MessageFixture.make({ key, sequence: 3, ordinal: 1 })
        const attempt = Harness.commit(harness, [MessageFixture.make({ key: otherKey }), second])
        expect(yield* Harness.reasonOf(attempt)).toBe("DuplicateSequence")
        expect(yield* Harness.readyIds(harness.store)).toEqual([taken.id])
      }))

    test("is refused within one transaction", (harness) =>
      Effect.gen(function* () {
        const attempt = Harness.commit(harness, [taken, { ...taken, id: "another" }])
        expect(yield* Harness.reasonOf(attempt)).toBe("DuplicateSequence")
        expect(yield* Harness.readyIds(harness.store)).toEqual([])
      }))

    test("rolls back what the transaction reserved", (harness) =>
      Effect.gen(function* () {
        const { store, transact } = harness
        yield* Harness.commit(harness, [taken])
        const counts = new Map([[key, 5]])
        const attempt = transact(
          Effect.zipRight(store.reserveSequences(counts), store.append([{ ...taken, id: "another" }]))
        )
        expect(yield* Harness.reasonOf(attempt)).toBe("DuplicateSequence")
        expect(yield* transact(store.reserveSequences(counts))).toEqual(new Map([[key, 1]]))
      }))

    test("goes to one of two writers that want it at once", (harness) =>
      Effect.gen(function* () {
        const rivals = [MessageFixture.make({ key }), MessageFixture.make({ key })]
        const reasons = yield* Effect.forEach(
          rivals,
          (message) => Harness.reasonOf(Harness.commit(harness, [message])),
          { concurrency: "unbounded" }
        )
        expect(reasons.toSorted()).toEqual(["DuplicateSequence", "Success"])
        expect(yield* Harness.readyIds(harness.store)).toHaveLength(1)
      }))

    test("may differ in ordinal or sequence only", (harness) =>
      Effect.gen(function* () {
        yield* Harness.commit(harness, [taken])
        yield* Harness.commit(harness, [MessageFixture.make({ key, sequence: 3, ordinal: 2 })])
        yield* Harness.commit(harness, [MessageFixture.make({ key, sequence: 4, ordinal: 1 })])
        expect(yield* Harness.readyIds(harness.store)).toHaveLength(3)
      }))

    test("does not free an id: a message that is there is never replaced", (harness) =>
      Effect.gen(function* () {
        yield* Harness.commit(harness, [taken])
        const twin = MessageFixture.make({ id: taken.id, key: otherKey })
        expect(yield* Harness.reasonOf(Harness.commit(harness, [twin]))).not.toBe("Success")
        expect(yield* Harness.readReady(harness.store)).toEqual([{ _tag: "Message", message: taken }])
      }))
  })

const writers = 20

/** Reserves two sequences and appends a message for each, as a writer of a stream does. */
const writeTwo = ({ store, transact }: Harness.StoreHarness, ids: readonly [string, string]) =>
  transact(
    Effect.gen(function* () {
      const first = (yield* store.reserveSequences(new Map([[key, 2]]))).get(key) ?? 0
      yield* store.append(ids.map((id, at) => MessageFixture.make({ id, key, sequence: first + at })))
    })
  )

const sequences = (test: Harness.Define) =>
  describe("reserveSequences", () => {
    test("starts at 1 and goes on without a gap, per key", ({ store, transact }) =>
      Effect.gen(function* () {
        const reserve = (...counts: ReadonlyArray<readonly [string, number]>) =>
          transact(store.reserveSequences(new Map(counts)))
        expect(yield* reserve([key, 1])).toEqual(new Map([[key, 1]]))
        expect(yield* reserve([key, 3], [otherKey, 2])).toEqual(
          new Map([
            [key, 2],
            [otherKey, 1]
          ])
        )
        expect(yield* reserve([otherKey, 1], [key, 1])).toEqual(
          new Map([
            [otherKey, 3],
            [key, 5]
          ])
        )
      }))

    test("goes on within one transaction", ({ store, transact }) =>
      Effect.gen(function* () {
        const two = store.reserveSequences(new Map([[key, 2]]))
        const [first, second] = yield* transact(Effect.all([two, two]))
        expect([first.get(key), second.get(key)]).toEqual([1, 3])
      }))

    test("of nothing gives nothing", ({ store, transact }) =>
      Effect.gen(function* () {
        expect(yield* transact(store.reserveSequences(new Map()))).toEqual(new Map())
      }))

    test("is rolled back when its transaction aborts", ({ store, transact }) =>
      Effect.gen(function* () {
        const reserve = store.reserveSequences(new Map([[key, 7]]))
        yield* Effect.flip(transact(Effect.zipRight(reserve, Effect.fail("aborted"))))
        expect(yield* transact(reserve)).toEqual(new Map([[key, 1]]))
      }))

    test("gives concurrent transactions distinct contiguous sequences in the order of their commits", (harness) =>
      Effect.gen(function* () {
        const feed = yield* harness.store.watch(Slot.all)
        const ids = Array.from({ length: writers }, (_, at) => [`${at}-a`, `${at}-b`] as const)
        yield* Effect.forEach(ids, (pair) => writeTwo(harness, pair), {
          concurrency: "unbounded",
          discard: true
        })
        yield* Harness.commit(harness, [MessageFixture.make({ id: "end", key: otherKey })])
        const seen = (yield* Harness.readFeedUntil(feed, "end")).flatMap((stored) =>
          stored._tag === "Message" && stored.message.key === key ? [stored.message.sequence] : []
        )
        expect(seen).toEqual(Array.from({ length: 2 * writers }, (_, at) => at + 1))
      }))
  })

/** Writing: messages, places, sequences. */
export const define = (test: Harness.Define): void => {
  appending(test)
  places(test)
  sequences(test)
}
