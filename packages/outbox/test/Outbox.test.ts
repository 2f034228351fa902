import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Option, TestClock } from "effect"
import * as Message from "../src/Message.ts"
import * as Outbox from "../src/Outbox.ts"
import * as OutboxMemory from "../src/OutboxMemory.ts"
import { OutboxStore } from "../src/OutboxStore.ts"
import * as Slot from "../src/Slot.ts"
import { Transaction } from "../src/Transaction.ts"

const draft = (key: string) => Message.fromText(MessageFixture.topic, key, '{"revision":1}')

const setUpWith = (options: Outbox.Options) =>
  Effect.gen(function* () {
    const { store, transact } = yield* OutboxMemory.make()
    const reads = { count: 0, withTransaction: 0 }
    const depth = Effect.gen(function* () {
      reads.count += 1
      if (Option.isSome(yield* Effect.serviceOption(Transaction))) reads.withTransaction += 1
      return yield* store.depth
    })
    const outbox = yield* Effect.provideService(Outbox.make(options), OutboxStore, { ...store, depth })
    return { outbox, reads, store, transact }
  })

const setUp = setUpWith({})

/** Appends a new message in a transaction of its own. */
const write = ({ outbox, transact }: Effect.Effect.Success<typeof setUp>) =>
  Effect.suspend(() => transact(outbox.append(draft("session/a"))))

const placesOf = (messages: ReadonlyArray<Message.Message>) =>
  messages.map(({ key, ordinal, sequence }) => [key, sequence, ordinal])

describe("Outbox.append", () => {
  it.effect("gives each message of a key the next sequence, over transactions", () =>
    Effect.gen(function* () {
      const { outbox, transact } = yield* setUp
      const first = yield* transact(
        Effect.all([outbox.append(draft("session/a")), outbox.append(draft("session/a"))])
      )
      const second = yield* transact(outbox.append(draft("session/a")))
      expect(placesOf([...first, second])).toEqual([
        ["session/a", 1, 0],
        ["session/a", 2, 0],
        ["session/a", 3, 0]
      ])
    })
  )

  it.effect("returns what the store holds, with the writer's clock", () =>
    Effect.gen(function* () {
      const { outbox, store, transact } = yield* setUp
      yield* TestClock.adjust("5 seconds")
      const message = yield* transact(outbox.append(draft("session/a")))
      expect(message.createdAt).toBe(5_000)
      const cursor = yield* store.readReady({ slots: [message.slot] })
      expect(yield* cursor.next).toEqual([{ _tag: "Message", message }])
    }).pipe(Effect.scoped)
  )

  it.effect("commits nothing and burns no sequence when its transaction fails", () =>
    Effect.gen(function* () {
      const { outbox, store, transact } = yield* setUp
      yield* Effect.flip(transact(Effect.zipRight(outbox.append(draft("session/a")), Effect.fail("no"))))
      expect((yield* store.stats).ready).toBe(0)
      const message = yield* transact(outbox.append(draft("session/a")))
      expect(message.sequence).toBe(1)
    })
  )
})

describe("Outbox.appendAll", () => {
  it.effect("gives ordinals to what shares key and given sequence, in the order of the call", () =>
    Effect.gen(function* () {
      const { outbox, transact } = yield* setUp
      const messages = yield* transact(
        outbox.appendAll([
          { draft: draft("customer/1"), sequence: 7 },
          { draft: draft("customer/2"), sequence: 7 },
          { draft: draft("customer/1"), sequence: 7 },
          { draft: draft("customer/1"), sequence: 8 }
        ])
      )
      expect(placesOf(messages)).toEqual([
        ["customer/1", 7, 0],
        ["customer/2", 7, 0],
        ["customer/1", 7, 1],
        ["customer/1", 8, 0]
      ])
    })
  )

  it.effect("reserves sequences for those without one, and only for them", () =>
    Effect.gen(function* () {
      const { outbox, transact } = yield* setUp
      const messages = yield* transact(
        outbox.appendAll([
          { draft: draft("session/a") },
          { draft: draft("customer/1"), sequence: 3 },
          { draft: draft("session/b") },
          { draft: draft("session/a") }
        ])
      )
      expect(placesOf(messages)).toEqual([
        ["session/a", 1, 0],
        ["customer/1", 3, 0],
        ["session/b", 1, 0],
        ["session/a", 2, 0]
      ])
      expect((yield* transact(outbox.append(draft("customer/1")))).sequence).toBe(1)
    })
  )

  it.effect("of nothing appends nothing", () =>
    Effect.gen(function* () {
      const { outbox, store, transact } = yield* setUp
      expect(yield* transact(outbox.appendAll([]))).toEqual([])
      expect((yield* store.stats).ready).toBe(0)
    })
  )
})

describe("An outbox with a limit", () => {
  it.effect("refuses messages with Full while as many wait, and takes them again afterwards", () =>
    Effect.gen(function* () {
      const given = yield* setUpWith({ maxDepth: 2 })
      const first = yield* write(given)
      yield* TestClock.adjust("1 second")
      yield* write(given)
      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(write(given))
      expect(error).toMatchObject({ _tag: "OutboxError", reason: "Full", retryable: true })
      expect((yield* given.store.stats).ready).toBe(2)
      yield* given.store.confirm([first])
      yield* TestClock.adjust("1 second")
      expect((yield* write(given)).sequence).toBe(3)
    })
  )

  it.effect("writes nothing of a transaction that it refuses", () =>
    Effect.gen(function* () {
      const given = yield* setUpWith({ maxDepth: 1 })
      yield* write(given)
      const refused = given.transact(
        Effect.gen(function* () {
          yield* given.outbox.append(draft("session/b"))
          yield* TestClock.adjust("1 second")
          yield* given.outbox.append(draft("session/c"))
        })
      )
      expect((yield* Effect.flip(refused)).reason).toBe("Full")
      expect((yield* given.store.stats).ready).toBe(1)
    })
  )

  it.effect("reads the depth at most once in its time, and never in the writer's transaction", () =>
    Effect.gen(function* () {
      const given = yield* setUpWith({ maxDepth: 1_000, checkEvery: "1 minute" })
      yield* Effect.all(Array.from({ length: 20 }, () => write(given)))
      expect(given.reads).toEqual({ count: 1, withTransaction: 0 })
    })
  )

  it.effect("has nothing to read for who appends nothing", () =>
    Effect.gen(function* () {
      const { outbox, reads, transact } = yield* setUpWith({ maxDepth: 1 })
      yield* transact(outbox.appendAll([]))
      expect(reads.count).toBe(0)
    })
  )
})

describe("An outbox without a limit", () => {
  it.effect("never reads its depth", () =>
    Effect.gen(function* () {
      const given = yield* setUpWith({ checkEvery: "1 millis" })
      yield* write(given)
      yield* TestClock.adjust("1 hour")
      yield* write(given)
      expect(given.reads.count).toBe(0)
    })
  )
})

describe("A message appended in a span", () => {
  it.effect("carries it, in what is returned and in what the store holds", () =>
    Effect.gen(function* () {
      const { outbox, store, transact } = yield* setUp
      const [messages, span] = yield* transact(
        Effect.zip(
          outbox.appendAll([{ draft: draft("session/a") }, { draft: draft("session/a") }]),
          Effect.currentSpan
        )
      ).pipe(Effect.withSpan("save"))
      const traceparent = `00-${span.traceId}-${span.spanId}-01`
      expect(messages.map(({ headers }) => headers["traceparent"])).toEqual([traceparent, traceparent])
      const cursor = yield* store.readReady({ slots: [Slot.ofKey("session/a")] })
      expect(yield* cursor.next).toEqual(messages.map((message) => ({ _tag: "Message", message })))
    }).pipe(Effect.scoped)
  )

  it.effect("keeps the trace that its draft has brought", () =>
    Effect.gen(function* () {
      const { outbox, transact } = yield* setUp
      const made = yield* Message.draft(MessageFixture.topic, {
        key: "session/a",
        payload: { revision: 1 }
      }).pipe(Effect.withSpan("made"))
      const message = yield* transact(outbox.append(made)).pipe(Effect.withSpan("appended"))
      expect(made.headers).toHaveProperty("traceparent")
      expect(message.headers).toEqual(made.headers)
    })
  )

  it.effect("has no trace when there is no span", () =>
    Effect.gen(function* () {
      const { outbox, transact } = yield* setUp
      const message = yield* transact(outbox.append(draft("session/a")))
      expect(message.headers).toEqual({ "schema-version": "1" })
    })
  )
})
