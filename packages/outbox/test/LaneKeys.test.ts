import { describe, expect, it } from "@effect/vitest"
import { HistoryArbitrary, MessageFixture } from "@twinbox/testkit"
import { Array as Arr, FastCheck } from "effect"
import * as Delivery from "../src/Delivery.ts"
import { LaneKeys, type Options } from "../src/LaneKeys.ts"
import type { Message } from "../src/Message.ts"
import type { Rejection } from "../src/Sink.ts"

const delivery = (message: Message) => Delivery.make(message, 1, 100)
const idsOf = (deliveries: ReadonlyArray<Delivery.Delivery>) => deliveries.map(({ message }) => message.id)

const refusal = (messageId: string, retryable = true): Rejection => ({
  messageId,
  reason: "Rejected",
  error: "refused",
  retryable
})

const retry = { maxAttempts: 3, firstDelayMillis: 100, factor: 2, maxDelayMillis: 1_000 }

const make = (options: Partial<Options> = {}) =>
  new LaneKeys({ retry, afterDeadLetter: "park", orderKey: ({ key }) => key, parked: [], ...options })

const [a1, a2, a3] = ["a1", "a2", "a3"].map((id, at) =>
  delivery(MessageFixture.make({ id, key: "customer/a", sequence: at + 1 }))
) as [Delivery.Delivery, Delivery.Delivery, Delivery.Delivery]
const b1 = delivery(MessageFixture.make({ id: "b1", key: "customer/b" }))

describe("LaneKeys", () => {
  it("stops a key at its first refused message and lets the others go", () => {
    const keys = make()
    const outcome = keys.settle([a1, b1, a2, a3], [refusal("a2")], 0, [0])
    expect(idsOf(outcome.confirmed)).toEqual(["a1", "b1"])
    expect(keys.nextDueMillis).toBe(50)
    expect(idsOf(keys.takeDue(49, 10))).toEqual([])
    expect(idsOf(keys.takeDue(50, 10))).toEqual(["a2", "a3"])
    expect(keys.nextDueMillis).toBeUndefined()
  })

  it("holds new messages of a waiting key back, behind it", () => {
    const keys = make()
    keys.settle([a1], [refusal("a1")], 0, [0])
    const { parked, send } = keys.admit([a2, b1, a3])
    expect([idsOf(send), idsOf(parked)]).toEqual([["b1"], []])
    expect(idsOf(keys.takeDue(1_000, 10))).toEqual(["a1", "a2", "a3"])
  })

  it("gives up after the last attempt and parks the key", () => {
    const keys = make()
    for (const attempt of [1, 2]) {
      expect(keys.settle([a1, a2], [refusal("a1")], attempt, [0]).dead).toEqual([])
      expect(idsOf(keys.takeDue(10_000, 10))).toEqual(["a1", "a2"])
    }
    const { dead, parked } = keys.settle([a1, a2], [refusal("a1")], 3, [0])
    expect(dead).toMatchObject([{ delivery: a1, attempts: 3 }])
    expect(idsOf(parked)).toEqual(["a2"])
    expect(idsOf(keys.admit([a3, b1]).parked)).toEqual(["a3"])
  })

  it("gives up at once on what is refused for good", () => {
    const { dead } = make().settle([a1, b1], [refusal("a1", false)], 0, [0])
    expect(dead).toMatchObject([{ delivery: a1, attempts: 1 }])
  })

  it("goes on with the next message of a dead one's key when told to skip", () => {
    const keys = make({ afterDeadLetter: "skip" })
    const { dead, parked } = keys.settle([a1, a2], [refusal("a1", false)], 7, [0])
    expect([dead.length, parked.length]).toEqual([1, 0])
    expect(idsOf(keys.admit([a3]).send)).toEqual([])
    expect(idsOf(keys.takeDue(7, 10))).toEqual(["a2", "a3"])
  })

  it("counts the attempts of each first message anew", () => {
    const keys = make({ afterDeadLetter: "skip" })
    keys.settle([a1, a2], [refusal("a1")], 0, [0])
    keys.takeDue(10_000, 10)
    keys.settle([a1, a2], [refusal("a2")], 0, [0])
    keys.takeDue(10_000, 10)
    expect(keys.settle([a2], [refusal("a2")], 0, [0]).dead).toEqual([])
    keys.takeDue(10_000, 10)
    expect(keys.settle([a2], [refusal("a2")], 0, [0]).dead).toHaveLength(1)
  })

  it("parks nothing but the keys it was told of", () => {
    const { parked, send } = make({ parked: ["customer/a"] }).admit([a1, b1])
    expect([idsOf(send), idsOf(parked)]).toEqual([["b1"], ["a1"]])
  })

  it("keeps unordered messages apart", () => {
    const keys = make({ orderKey: ({ id }) => id })
    const outcome = keys.settle([a1, a2, a3], [refusal("a1")], 0, [0])
    expect(idsOf(outcome.confirmed)).toEqual(["a2", "a3"])
    expect(idsOf(keys.takeDue(1_000, 10))).toEqual(["a1"])
  })

  it("takes about as many due messages as it is asked for", () => {
    const keys = make()
    keys.settle([a1, b1], [refusal("a1"), refusal("b1")], 0, [0, 0])
    expect(idsOf(keys.takeDue(1_000, 1))).toEqual(["a1"])
    expect(idsOf(keys.takeDue(1_000, 1))).toEqual(["b1"])
  })
})

/** Plays a lane over a history: batches of any size, refusals and dead letters as the draws say. */
const play = (
  history: ReadonlyArray<Message>,
  draws: ReadonlyArray<number>,
  options: { readonly afterDeadLetter: "park" | "skip"; readonly isBad: (message: Message) => boolean }
) => {
  const keys = make({ afterDeadLetter: options.afterDeadLetter })
  const waiting = history.map(delivery)
  const confirmed: Array<Message> = []
  const sent: Array<Message> = []
  const dead: Array<Message> = []
  const parked: Array<Message> = []
  let now = 0
  let draw = 0
  const next = () => draws[draw++ % draws.length] ?? 0
  const messagesOf = (deliveries: ReadonlyArray<Delivery.Delivery>) =>
    deliveries.map(({ message }) => message)
  while (waiting.length > 0 || keys.nextDueMillis !== undefined) {
    now += 40
    const due = keys.takeDue(now, 5)
    const admitted = keys.admit(waiting.splice(0, 1 + Math.floor(next() * 8)))
    parked.push(...messagesOf(admitted.parked))
    const batch = [...due, ...admitted.send]
    const refused = batch.filter(({ message }) => options.isBad(message) || next() < 0.2)
    const rejections = refused.map(({ message }) => refusal(message.id, !options.isBad(message)))
    sent.push(...messagesOf(batch))
    const outcome = keys.settle(batch, rejections, now, rejections.map(next))
    confirmed.push(...messagesOf(outcome.confirmed))
    dead.push(...outcome.dead.map((given) => given.delivery.message))
    parked.push(...messagesOf(outcome.parked))
  }
  return { confirmed, dead, parked, sent }
}

const draws = FastCheck.array(FastCheck.double({ min: 0, max: 0.999, noNaN: true }), {
  minLength: 50,
  maxLength: 200
})
const policy = FastCheck.constantFrom("park" as const, "skip" as const)
const never = () => false

describe("LaneKeys over any history", () => {
  const byKey = (messages: ReadonlyArray<Message>) =>
    new Map(Object.entries(Arr.groupBy(messages, ({ key }) => key)))
  const idsIn = (messages: ReadonlyArray<Message> | undefined) => (messages ?? []).map(({ id }) => id)

  it.prop(
    "confirms, kills or parks each message once, and confirms each key in order",
    [HistoryArbitrary.history(), draws, policy],
    ([history, randoms, afterDeadLetter]) => {
      const { confirmed, dead, parked } = play(history, randoms, { afterDeadLetter, isBad: never })
      const all = [...confirmed, ...dead, ...parked]
      expect(idsIn(all).toSorted()).toEqual(idsIn(history).toSorted())
      const committed = byKey(history)
      for (const [key, messages] of byKey(confirmed)) {
        const done = new Set(idsIn(messages))
        expect(idsIn(messages)).toEqual(idsIn(committed.get(key)).filter((id) => done.has(id)))
      }
      if (afterDeadLetter === "skip") expect(parked).toEqual([])
    }
  )

  it.prop(
    "parks all that follows a dead letter of its key, and confirms all before it",
    [HistoryArbitrary.history(), draws],
    ([history, randoms]) => {
      const isBad = (message: Message) => message.id === "0-2-0"
      const { confirmed, dead, parked } = play(history, randoms, { afterDeadLetter: "park", isBad })
      const killed = new Map(dead.map((message) => [message.key, message.id]))
      for (const [key, messages] of byKey(history)) {
        const ids = idsIn(messages)
        const killedId = killed.get(key)
        const at = killedId === undefined ? ids.length : ids.indexOf(killedId)
        expect(idsIn(byKey(confirmed).get(key))).toEqual(ids.slice(0, at))
        expect(idsIn(byKey(parked).get(key))).toEqual(ids.slice(at + 1))
      }
    }
  )

  it.prop(
    "never keeps a key from its first attempt because another fails",
    [HistoryArbitrary.history()],
    (given) => {
      const [history] = given
      const isBad = ({ key }: Message) => key === "customer/0"
      const { confirmed } = play(history, [0.9], { afterDeadLetter: "park", isBad })
      expect(idsIn(confirmed).toSorted()).toEqual(
        idsIn(history.filter(({ key }) => key !== "customer/0")).toSorted()
      )
    }
  )
})
