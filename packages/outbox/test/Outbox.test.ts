import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, TestClock } from "effect"
import * as Message from "../src/Message.ts"
import * as Outbox from "../src/Outbox.ts"
import * as OutboxMemory from "../src/OutboxMemory.ts"
import { OutboxStore } from "../src/OutboxStore.ts"

const draft = (key: string) => Message.fromText(MessageFixture.topic, key, '{"revision":1}')

const setUp = Effect.gen(function* () {
  const { store, transact } = yield* OutboxMemory.make
  const outbox = yield* Effect.provideService(Outbox.make, OutboxStore, store)
  return { outbox, store, transact }
})

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
