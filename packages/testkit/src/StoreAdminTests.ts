import { Slot, type OutboxAdmin, type OutboxStore } from "@twinbox/outbox"
import { describe, expect } from "@effect/vitest"
import { Clock, Effect, Exit } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import * as Harness from "./StoreHarness.ts"

const everything = { filter: {}, limit: 1_000 }

const letterIds = (admin: Harness.Admin, filter: OutboxAdmin.DeadFilter = {}) =>
  Effect.map(admin.deadLetters({ filter, limit: 1_000 }), ({ letters }) =>
    letters.map(({ messageId }) => messageId)
  )

const blockedAt = (store: Harness.Store, sink: string) => store.blockedKeys({ sink, slots: Slot.all })

const changesOf = (store: Harness.Store, slot: number) =>
  Effect.map(store.beat("relay-a", false), (view) => Harness.slotIn(view, slot)?.changes ?? -1)

/** So many messages of one key, all of them settled in the same way. */
const manySettled = (
  harness: Harness.StoreHarness,
  count: number,
  outcome: Parameters<typeof Harness.settlementOf>[1]
) =>
  Effect.gen(function* () {
    const messages = MessageFixture.ofKey("customer/1", count)
    yield* Harness.commit(harness, messages)
    const lease = yield* Harness.enter(harness.store)
    yield* harness.store.settle(
      lease,
      messages.map((message) => Harness.settlementOf(message, outcome))
    )
    return messages
  })

/** Work that is killed when its first batch is done; tells how far it was. */
const killedAfterFirst = (
  work: (progress: (done: number) => Effect.Effect<void>) => Effect.Effect<unknown, unknown>
) =>
  Effect.gen(function* () {
    let done = 0
    const exit = yield* Effect.exit(
      work((count) =>
        Effect.zipRight(
          Effect.sync(() => void (done = count)),
          Effect.interrupt
        )
      )
    )
    expect(Exit.isInterrupted(exit)).toBe(true)
    return done
  })

/** Six dead letters of two keys, two sinks, two topics and two reasons, at the times 1 to 6. */
const sixLetters = (harness: Harness.StoreHarness) =>
  Effect.gen(function* () {
    const [key, otherKey] = Harness.twoKeys()
    const make = (name: string, fields: MessageFixture.Fields) => MessageFixture.make({ id: name, ...fields })
    const messages = [
      make("a1", { key, sequence: 1 }),
      make("a2", { key, sequence: 2 }),
      make("a3", { key, sequence: 3, topic: "audit" }),
      make("b1", { key: otherKey, sequence: 1 }),
      make("b2", { key: otherKey, sequence: 2 })
    ]
    yield* Harness.commit(harness, messages)
    const lease = yield* Harness.enter(harness.store)
    const at: Readonly<Record<string, ReadonlyArray<Partial<OutboxStore.DeadLetter> & { sink: string }>>> = {
      a1: [
        { sink: "mirror", at: 5 },
        { sink: "kafka", at: 2 }
      ],
      a2: [{ sink: "mirror", at: 3, reason: "TooLarge" }],
      a3: [{ sink: "mirror", at: 4, blocks: false }],
      b1: [{ sink: "kafka", at: 1 }],
      b2: [{ sink: "kafka", at: 6, reason: "TooLarge" }]
    }
    yield* harness.store.settle(
      lease,
      messages.map((message) => ({
        ...Harness.settlementOf(message),
        dead: (at[message.id] ?? []).map((fields) => Harness.deadLetter(message, fields.sink, fields))
      }))
    )
    return { key, otherKey, lease, messages, ...harness }
  })

const listing = (test: Harness.Define) =>
  describe("deadLetters", () => {
    test("lists them oldest first, with what they were and why they died", (harness) =>
      Effect.gen(function* () {
        const { admin, lease, one, other, store } = yield* Harness.prepare(harness)
        yield* harness.insertCorrupt("broken", 3)
        const history = [{ at: 7, reason: "Rejected", error: "no" }]
        const [second, first] = [
          Harness.deadLetter(one, "mirror", { at: 2_000, history, attempts: 7, error: "why" }),
          Harness.deadLetter(other, "kafka", { at: 1_000, reason: "TooLarge", blocks: false })
        ]
        yield* store.settle(lease, [
          { ...Harness.settlementOf(one), dead: [second] },
          { ...Harness.settlementOf(other), dead: [first] },
          Harness.settlementOf({ id: "broken", slot: 3 }, { dead: ["*"], fields: { at: 3_000 } })
        ])
        const { letters, next } = yield* admin.deadLetters(everything)
        expect(next).toBeUndefined()
        expect(letters).toEqual([
          { ...first, key: other.key, topic: other.topic, sequence: 1 },
          { ...second, key: one.key, topic: one.topic, sequence: 1 },
          Harness.deadLetter({ id: "broken", slot: 3 }, "*", { at: 3_000 })
        ])
        expect(JSON.stringify(letters)).not.toContain("revision")
      }))

    test("finds them by each field, and by all that is given", (harness) =>
      Effect.gen(function* () {
        const { admin, key } = yield* sixLetters(harness)
        expect(yield* letterIds(admin)).toEqual(["b1", "a1", "a2", "a3", "a1", "b2"])
        expect(yield* letterIds(admin, { messageIds: ["a1", "b2", "unknown"] })).toEqual(["a1", "a1", "b2"])
        expect(yield* letterIds(admin, { sink: "mirror" })).toEqual(["a2", "a3", "a1"])
        expect(yield* letterIds(admin, { key })).toEqual(["a1", "a2", "a3", "a1"])
        expect(yield* letterIds(admin, { topic: "audit" })).toEqual(["a3"])
        expect(yield* letterIds(admin, { reason: "TooLarge" })).toEqual(["a2", "b2"])
        expect(yield* letterIds(admin, { from: 5 })).toEqual(["a1", "b2"])
        expect(yield* letterIds(admin, { before: 2 })).toEqual(["b1"])
        expect(yield* letterIds(admin, { from: 2, before: 5, sink: "mirror", key })).toEqual(["a2", "a3"])
        expect(yield* letterIds(admin, { reason: "TooLarge", topic: "audit" })).toEqual([])
        expect(yield* letterIds(admin, { messageIds: [] })).toEqual([])
      }))

    test("goes through them page by page, also where many died at once", (harness) =>
      Effect.gen(function* () {
        const { admin } = harness
        const messages = yield* manySettled(harness, 7, { dead: ["mirror"] })
        const seen: Array<string> = []
        let after: string | undefined
        do {
          const page: OutboxAdmin.DeadPage = { filter: { sink: "mirror" }, limit: 3 }
          const { letters, next } = yield* admin.deadLetters(after === undefined ? page : { ...page, after })
          expect(letters.length).toBeLessThanOrEqual(3)
          seen.push(...letters.map(({ messageId }) => messageId))
          after = next
        } while (after !== undefined && seen.length < 20)
        expect(seen.toSorted()).toEqual(messages.map(({ id }) => id).toSorted())
      }))

    test("refuses pages of a size out of bounds, and places that it has not named", ({ admin }) =>
      Effect.gen(function* () {
        for (const limit of [0, 1_001]) {
          expect(yield* Harness.reasonOf(admin.deadLetters({ filter: {}, limit }))).toBe("Refused")
        }
        const page = admin.deadLetters({ filter: {}, limit: 1, after: "nonsense" })
        expect(yield* Harness.reasonOf(page)).toBe("Refused")
      }))

    test("names the keys that wait, those that have waited longest first", (harness) =>
      Effect.gen(function* () {
        const { admin, key, lease, otherKey, store } = yield* sixLetters(harness)
        const waiting = [
          ...MessageFixture.ofKey(key, 2, 10),
          MessageFixture.make({ key: otherKey, sequence: 10 })
        ]
        yield* Harness.commit(harness, [...waiting, MessageFixture.make({ key, sequence: 20 })])
        yield* store.settle(
          lease,
          waiting.map((message) => Harness.settlementOf(message, { behind: ["mirror"] }))
        )
        const mirror = { sink: "mirror", key, deadLetters: 2, since: 3, waiting: 2 }
        expect(yield* admin.blocked({ limit: 10 })).toEqual([
          { sink: "kafka", key: otherKey, deadLetters: 2, since: 1, waiting: 0 },
          { sink: "kafka", key, deadLetters: 1, since: 2, waiting: 0 },
          mirror
        ])
        expect(yield* admin.blocked({ sink: "mirror", limit: 10 })).toEqual([mirror])
        expect(yield* admin.blocked({ limit: 1 })).toHaveLength(1)
      }))
  })

const requeueing = (test: Harness.Define) =>
  describe("requeue", () => {
    test("puts a message back before those that wait, with its history and without marks", (harness) =>
      Effect.gen(function* () {
        const { admin, lease, one, store, two } = yield* Harness.prepare(harness)
        const history = [{ at: 7, reason: "Rejected", error: "no" }]
        yield* store.mark(lease, "mirror", [one], 1)
        yield* store.settle(lease, [
          Harness.settlementOf(one, { dead: ["mirror"], fields: { history } }),
          Harness.settlementOf(two, { behind: ["mirror"] })
        ])
        const before = yield* changesOf(store, one.slot)
        const result = yield* admin.requeue({ messageIds: [one.id] })
        expect(result).toEqual({ requeued: 1, superseded: 0, corrupt: 0 })
        expect(yield* Harness.readBehind(store, "mirror")).toEqual([
          { _tag: "Message", message: one, history },
          { _tag: "Message", message: two }
        ])
        expect(yield* blockedAt(store, "mirror")).toEqual([])
        expect((yield* store.stats).dead).toBe(0)
        expect(yield* changesOf(store, one.slot)).toBe(before + 1)
        expect(yield* admin.requeue({})).toEqual({ requeued: 0, superseded: 0, corrupt: 0 })
        expect(yield* changesOf(store, one.slot)).toBe(before + 1)
      }))

    test("sends only what is meant; its key goes on when the last dead letter is gone", (harness) =>
      Effect.gen(function* () {
        const { admin, key, store } = yield* sixLetters(harness)
        expect(yield* admin.requeue({ sink: "mirror", reason: "TooLarge" })).toMatchObject({ requeued: 1 })
        expect(yield* blockedAt(store, "mirror")).toEqual([key])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
        expect(yield* admin.requeue({ sink: "mirror", key })).toMatchObject({ requeued: 2 })
        expect(yield* blockedAt(store, "mirror")).toEqual([])
        expect(yield* Harness.behindIds(store, "mirror")).toEqual(["a1", "a2", "a3"])
        expect(yield* letterIds(admin)).toEqual(["b1", "a1", "b2"])
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([])
      }))

    test("adds the sink where the message is behind for others", (harness) =>
      Effect.gen(function* () {
        const { admin, lease, one, store } = yield* Harness.prepare(harness)
        yield* store.mark(lease, "mirror", [one], 1)
        const history = [{ at: 7, reason: "Rejected", error: "no" }]
        yield* store.settle(lease, [
          Harness.settlementOf(one, { dead: ["mirror"], behind: ["kafka"], fields: { history } })
        ])
        expect(yield* admin.requeue({})).toMatchObject({ requeued: 1 })
        expect(yield* store.stats).toMatchObject({ ready: 3, behind: 1, dead: 0 })
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([one.id])
        expect(yield* Harness.readBehind(store, "mirror")).toEqual([
          { _tag: "Message", message: one, history }
        ])
        yield* store.settleBehind(lease, "mirror", { confirmed: [one], dead: [] })
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([one.id])
      }))

    test("only forgets the dead letter of a message that is ready, which every sink will get", (harness) =>
      Effect.gen(function* () {
        const { admin, lease, one, store } = yield* Harness.prepare(harness)
        yield* store.settle(lease, [Harness.settlementOf(one, { dead: ["mirror"] })])
        yield* Harness.commit(harness, [one])
        expect(yield* admin.requeue({})).toMatchObject({ requeued: 1 })
        expect(yield* Harness.readyIds(store)).toContain(one.id)
        expect(yield* store.stats).toMatchObject({ ready: 4, behind: 0, dead: 0 })
      }))

    test("keeps from a mirror what is older than its key's newest state", (harness) =>
      Effect.gen(function* () {
        const { admin, store, transact } = harness
        const key = "customer/1"
        const [first, second] = MessageFixture.threeOf(key)
        yield* transact(
          Effect.zipRight(store.reserveSequences(new Map([[key, 2]])), store.append([first, second]))
        )
        yield* store.registerSinks([
          { name: "mirror", topics: [], isMirror: true },
          { name: "kafka", topics: [], isMirror: false }
        ])
        const lease = yield* Harness.enter(store)
        yield* store.settle(
          lease,
          [first, second].map((message) => Harness.settlementOf(message, { dead: ["mirror", "kafka"] }))
        )
        const before = yield* changesOf(store, first.slot)
        expect(yield* admin.requeue({ sink: "mirror", messageIds: [first.id] })).toEqual({
          requeued: 0,
          superseded: 1,
          corrupt: 0
        })
        expect(yield* changesOf(store, first.slot)).toBe(before)
        expect(yield* admin.requeue({})).toEqual({ requeued: 3, superseded: 1, corrupt: 0 })
        const { letters } = yield* admin.deadLetters(everything)
        expect(letters).toMatchObject([{ messageId: first.id, sink: "mirror" }])
        expect(yield* Harness.behindIds(store, "kafka")).toEqual([first.id, second.id])
      }))

    test("leaves records that are no messages where they are", (harness) =>
      Effect.gen(function* () {
        const { admin, store } = harness
        const wellFormed = MessageFixture.make({ id: "in a strange state" })
        yield* harness.insertCorrupt("broken", 3)
        yield* Harness.commit(harness, [wellFormed])
        const lease = yield* Harness.enter(store)
        yield* store.settle(
          lease,
          [{ id: "broken", slot: 3 }, wellFormed].map((record) =>
            Harness.settlementOf(record, { dead: ["*"], fields: { blocks: false } })
          )
        )
        expect(yield* admin.requeue({})).toEqual({ requeued: 0, superseded: 0, corrupt: 2 })
        expect(new Set(yield* letterIds(admin))).toEqual(new Set(["broken", wellFormed.id]))
        expect(yield* admin.discard({})).toBe(2)
        expect(yield* store.stats).toMatchObject({ ready: 0, behind: 0, dead: 0 })
      }))

    test("goes batch by batch, tells how far it is, and can be interrupted and repeated", (harness) =>
      Effect.gen(function* () {
        const { admin, store } = harness
        yield* manySettled(harness, 1_100, { dead: ["mirror"] })
        const done = yield* killedAfterFirst((progress) => admin.requeue({}, progress))
        expect(done).toBeGreaterThan(0)
        expect(yield* store.stats).toMatchObject({ behind: done, dead: 1_100 - done })
        const told: Array<number> = []
        const progress = (count: number) => Effect.sync(() => void told.push(count))
        expect(yield* admin.requeue({}, progress)).toMatchObject({ requeued: 1_100 - done })
        expect(told.length).toBeGreaterThan(1)
        expect(told).toEqual([...new Set(told)].toSorted((a, b) => a - b))
        expect(told.at(-1)).toBe(1_100 - done)
        expect(yield* store.stats).toMatchObject({ behind: 1_100, dead: 0 })
      }))
  })

const discarding = (test: Harness.Define) =>
  describe("discard", () => {
    test("deletes what is meant for good, and its key goes on without it", (harness) =>
      Effect.gen(function* () {
        const { admin, key, otherKey, store } = yield* sixLetters(harness)
        const slots = [Slot.ofKey(key), Slot.ofKey(otherKey)]
        const before = yield* Effect.forEach(slots, (slot) => changesOf(store, slot))
        expect(yield* admin.discard({ sink: "mirror" })).toBe(3)
        expect(yield* letterIds(admin)).toEqual(["b1", "a1", "b2"])
        expect(yield* blockedAt(store, "mirror")).toEqual([])
        expect(yield* blockedAt(store, "kafka")).toHaveLength(2)
        expect(yield* store.stats).toMatchObject({ ready: 0, behind: 0, dead: 3, delivered: 0 })
        const after = yield* Effect.forEach(slots, (slot) => changesOf(store, slot))
        expect(after).toEqual([(before[0] ?? 0) + 1, before[1]])
        expect(yield* admin.discard({ sink: "mirror" })).toBe(0)
      }))

    test("goes batch by batch, tells how far it is, and can be interrupted and repeated", (harness) =>
      Effect.gen(function* () {
        const { admin, store } = harness
        yield* manySettled(harness, 1_100, { dead: ["mirror"] })
        const done = yield* killedAfterFirst((progress) => admin.discard({}, progress))
        expect(done).toBeGreaterThan(0)
        expect((yield* store.stats).dead).toBe(1_100 - done)
        const told: Array<number> = []
        const progress = (count: number) => Effect.sync(() => void told.push(count))
        expect(yield* admin.discard({}, progress)).toBe(1_100 - done)
        expect(told.at(-1)).toBe(1_100 - done)
        expect((yield* store.stats).dead).toBe(0)
      }))
  })

const keep = { keepDelivered: 600_000 }

const replaying = (test: Harness.Define) =>
  describe("replay", () => {
    test(
      "sends delivered messages to one sink once more, in order, and keeps them all the same",
      (harness) =>
        Effect.gen(function* () {
          const { admin, lease, one, store, three, two } = yield* Harness.prepare(harness)
          const messages = [one, two, three]
          yield* store.confirm([three, one])
          yield* store.confirm([two])
          const before = yield* changesOf(store, one.slot)
          const told: Array<number> = []
          const progress = (count: number) => Effect.sync(() => void told.push(count))
          expect(yield* admin.replay({ sink: "mirror" })).toBe(0)
          yield* store.registerSinks(["mirror", "kafka"].map(MessageFixture.registeredSink))
          expect(yield* admin.replay({ sink: "mirror" }, progress)).toBe(3)
          expect(told.at(-1)).toBe(3)
          expect(yield* changesOf(store, one.slot)).toBe(before + 1)
          expect(yield* Harness.readBehind(store, "mirror")).toEqual(
            messages.map((message) => ({ _tag: "Message", message }))
          )
          yield* admin.replay({ sink: "mirror" })
          yield* admin.replay({ sink: "kafka" })
          expect(yield* store.stats).toMatchObject({ ready: 1, behind: 3, delivered: 3 })
          expect(yield* Harness.behindIds(store, "mirror")).toHaveLength(3)
          expect(yield* Harness.behindIds(store, "kafka")).toHaveLength(3)
          for (const sink of ["mirror", "kafka"]) {
            yield* store.settleBehind(lease, sink, { confirmed: messages, dead: [] })
          }
          expect(yield* store.stats).toMatchObject({ ready: 1, behind: 0, delivered: 3 })
        }),
      keep
    )

    test(
      "sends only what is meant",
      (harness) =>
        Effect.gen(function* () {
          const { admin, store } = harness
          const [key, otherKey] = Harness.twoKeys()
          const one = MessageFixture.make({ key })
          const two = MessageFixture.make({ key, sequence: 2, topic: "audit" })
          const other = MessageFixture.make({ key: otherKey })
          yield* Harness.commit(harness, [one, two, other])
          yield* store.confirm([one, two, other])
          const now = yield* Clock.currentTimeMillis
          const minute = 60_000
          const register = (name: string, ...topics: ReadonlyArray<string>) =>
            store.registerSinks([{ name, topics, isMirror: false }])
          const both = [MessageFixture.topic.name, "audit"]
          for (const name of ["mirror", "by-topic", "by-key", "by-time"]) yield* register(name, ...both)
          yield* register("one-topic", MessageFixture.topic.name)
          expect(yield* admin.replay({ sink: "one-topic", topic: "audit" })).toBe(0)
          expect(yield* admin.replay({ sink: "one-topic" })).toBe(2)
          expect(yield* admin.replay({ sink: "mirror", from: now + minute })).toBe(0)
          expect(yield* admin.replay({ sink: "mirror", before: now - minute })).toBe(0)
          expect(yield* admin.replay({ sink: "mirror", key: otherKey, topic: "audit" })).toBe(0)
          expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
          expect(yield* admin.replay({ sink: "by-topic", topic: "audit" })).toBe(1)
          expect(yield* Harness.behindIds(store, "by-topic")).toEqual([two.id])
          expect(yield* admin.replay({ sink: "by-key", key })).toBe(2)
          expect(yield* Harness.behindIds(store, "by-key")).toEqual([one.id, two.id])
          expect(yield* admin.replay({ sink: "by-time", from: now - minute, before: now + minute })).toBe(3)
        }),
      keep
    )
  })

const removing = (test: Harness.Define) =>
  describe("removeSink", () => {
    test(
      "forgets what it was owed and what it gave up; the last one gone, a message is delivered",
      (harness) =>
        Effect.gen(function* () {
          const { admin, lease, one, other, store, three, two } = yield* Harness.prepare(harness)
          yield* store.registerSinks(
            ["mirror", "kafka"].map((name) => ({ name, topics: [], isMirror: false }))
          )
          yield* store.settle(lease, [
            Harness.settlementOf(one, { behind: ["mirror"] }),
            Harness.settlementOf(two, { behind: ["mirror", "kafka"] }),
            Harness.settlementOf(three, { behind: ["kafka"], dead: ["mirror"] })
          ])
          const slots = [one.slot, other.slot]
          const before = yield* Effect.forEach(slots, (slot) => changesOf(store, slot))
          expect(yield* admin.removeSink("mirror")).toBe(2)
          expect((yield* admin.sinks).map(({ name }) => name)).toEqual(["kafka"])
          expect(yield* store.stats).toMatchObject({ ready: 1, behind: 2, dead: 0, delivered: 1 })
          expect(yield* Harness.behindIds(store, "mirror")).toEqual([])
          expect(yield* Harness.behindIds(store, "kafka")).toEqual([two.id, three.id])
          expect(yield* blockedAt(store, "mirror")).toEqual([])
          expect([...(yield* store.stats).sinks.keys()]).toEqual(["kafka"])
          const after = yield* Effect.forEach(slots, (slot) => changesOf(store, slot))
          slots.forEach((_, at) => expect(after[at]).toBeGreaterThan(before[at] ?? Infinity))
        }),
      keep
    )

    test("says when there is no such sink", ({ admin, store }) =>
      Effect.gen(function* () {
        expect(yield* admin.removeSink("mirror")).toBeUndefined()
        yield* store.registerSinks([{ name: "mirror", topics: [], isMirror: false }])
        expect(yield* admin.removeSink("mirror")).toBe(0)
        expect(yield* admin.removeSink("mirror")).toBeUndefined()
      }))

    test("goes on where it was interrupted", (harness) =>
      Effect.gen(function* () {
        const { admin, store } = harness
        yield* store.registerSinks([{ name: "mirror", topics: [], isMirror: false }])
        yield* manySettled(harness, 1_100, { behind: ["mirror"] })
        const done = yield* killedAfterFirst((progress) => admin.removeSink("mirror", progress))
        expect(done).toBeGreaterThan(0)
        expect(yield* admin.sinks).toEqual([])
        expect((yield* store.stats).behind).toBe(1_100 - done)
        expect(yield* admin.removeSink("mirror")).toBe(1_100 - done)
        expect((yield* store.stats).behind).toBe(0)
      }))
  })

const overview = (test: Harness.Define) =>
  describe("status", () => {
    test("tells who takes part, what is theirs, and what is nobody's", (harness) =>
      Effect.gen(function* () {
        const { admin, store } = harness
        const sinks = [{ name: "mirror", topics: ["a"], isMirror: true }]
        yield* store.registerSinks(sinks)
        yield* Harness.commit(harness, [MessageFixture.make()])
        yield* Harness.enter(store, "relay-a", [1, 2, 3, 4])
        yield* Harness.takeOver(store, "relay-a", "relay-b").pipe(
          Effect.flatMap((lease) =>
            store.release({
              ...lease,
              epochs: new Map([...lease.epochs].filter(([slot]) => slot > 2))
            })
          )
        )
        yield* Harness.enter(store, "relay-c", [10, 11, 12])
        yield* Harness.expel(store, "relay-c")
        yield* store.beat("relay-b", true)
        const status = yield* admin.status
        expect(status.members).toEqual([
          { owner: "relay-b", counter: 2, leaseMillis: Harness.leaseMillis, leaving: true, slots: 3 }
        ])
        expect(status.freeSlots).toBe(Slot.count - 3)
        expect(status.suspectSlots).toBe(4)
        expect(status.sinks).toEqual(sinks)
        expect(status.stats).toEqual(yield* store.stats)
      }))
  })

/** What people who look after an outbox can see and do. */
export const define = (test: Harness.Define): void => {
  listing(test)
  requeueing(test)
  discarding(test)
  replaying(test)
  removing(test)
  overview(test)
}
