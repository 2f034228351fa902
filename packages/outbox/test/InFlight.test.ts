import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Fiber, Option } from "effect"
import type { Message } from "../src/Message.ts"
import type { Delivery } from "../src/Delivery.ts"
import * as DeliveryWeight from "../src/Delivery.ts"
import { InFlight } from "../src/InFlight.ts"

const kibibytes = (count: number) => "x".repeat(count * 1024)

/** What `admit` has offered so far. */
const recorder = () => {
  const offered: Array<Delivery> = []
  const groups: Array<number> = []
  return {
    offered,
    groups,
    offer: (deliveries: ReadonlyArray<Delivery>) =>
      Effect.sync(() => {
        offered.push(...deliveries)
        groups.push(deliveries.reduce((sum, { weight }) => sum + weight, 0))
      })
  }
}

const stored = (messages: ReadonlyArray<Message>) =>
  messages.map((message) => ({ _tag: "Message" as const, message }))

/** One lane owes it. */
const deliveryOf = (one: DeliveryWeight.StoredMessage, maxWeight: number) =>
  DeliveryWeight.make(one, 1, maxWeight)

const settleForTheTest = Effect.repeatN(Effect.yieldNow(), 20)

describe("the weight of a message", () => {
  it.each([
    [null, 1],
    ["", 1],
    [kibibytes(7), 1],
    [kibibytes(8), 2],
    [kibibytes(80), 11]
  ])("is 1 and 1 more for each full 8 KiB of payload (case %#)", (payload, weight) => {
    expect(DeliveryWeight.weightOf(MessageFixture.make({ payload }))).toBe(weight)
  })
})

describe("InFlight", () => {
  it.effect("admits up to its bound and waits for room beyond it", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(10)
      const { offer, offered } = recorder()
      const messages = MessageFixture.ofKey("customer/1", 25)
      const admitting = yield* Effect.fork(inFlight.admit(stored(messages), deliveryOf, offer))
      yield* settleForTheTest
      expect(offered).toHaveLength(10)
      expect(inFlight.size).toBe(10)
      yield* inFlight.settled(offered.slice(0, 10))
      yield* settleForTheTest
      expect(offered).toHaveLength(20)
      yield* inFlight.settled(offered.slice(10, 20))
      yield* Fiber.join(admitting)
      expect(offered.map(({ message }) => message)).toEqual(messages)
      expect(inFlight.size).toBe(5)
    })
  )

  it.effect("counts big payloads for more, and never waits for more room than there is", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(4)
      const { groups, offer, offered } = recorder()
      const huge = MessageFixture.make({ payload: kibibytes(1_000) })
      const small = MessageFixture.ofKey("customer/2", 3)
      const admitting = yield* Effect.fork(inFlight.admit(stored([...small, huge]), deliveryOf, offer))
      yield* settleForTheTest
      expect(offered).toHaveLength(3)
      yield* inFlight.settled(offered.slice(0, 3))
      yield* Fiber.join(admitting)
      expect(groups).toEqual([1, 1, 1, 4])
    })
  )

  it.effect("gives the room back that was waited for in vain", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(2)
      const { offer, offered } = recorder()
      const admitting = yield* Effect.fork(
        inFlight.admit(stored(MessageFixture.ofKey("customer/1", 6)), deliveryOf, offer)
      )
      yield* settleForTheTest
      yield* Fiber.interrupt(admitting)
      expect(offered).toHaveLength(2)
      yield* inFlight.settled(offered)
      yield* inFlight.admit(stored(MessageFixture.ofKey("customer/2", 2)), deliveryOf, offer)
      expect(inFlight.size).toBe(2)
    })
  )

  it.effect("knows what is on its way and what was settled a short while ago", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(10)
      const { offer, offered } = recorder()
      const [one, two] = [MessageFixture.make({ sequence: 1 }), MessageFixture.make({ sequence: 2 })]
      expect(inFlight.knows(one.id)).toBe(false)
      yield* inFlight.admit(stored([one, two]), deliveryOf, offer)
      offered[1]?.behind.push("mirror")
      expect([inFlight.knows(one.id), inFlight.knows(two.id)]).toEqual([true, true])
      yield* inFlight.settled(offered)
      expect([inFlight.knows(one.id), inFlight.knows(two.id)]).toEqual([true, true])
      expect(inFlight.size).toBe(0)
    })
  )

  it.effect("counts by slot, and forgets what was dropped or abandoned", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(10)
      const { offer, offered } = recorder()
      const [one, two] = [MessageFixture.make({ sequence: 1 }), MessageFixture.make({ sequence: 2 })]
      yield* inFlight.admit(stored([one, two]), deliveryOf, offer)
      expect(inFlight.countIn(one.slot)).toBe(2)
      const [first] = offered as [Delivery]
      yield* inFlight.dropped([first])
      expect([inFlight.countIn(one.slot), inFlight.knows(one.id)]).toEqual([1, false])
      yield* inFlight.abandon(new Set([one.slot]))
      yield* inFlight.settled(offered)
      expect([inFlight.countIn(one.slot), inFlight.size, inFlight.knows(two.id)]).toEqual([0, 0, false])
      yield* inFlight.admit(stored(MessageFixture.ofKey("customer/9", 10)), deliveryOf, offer)
      expect(inFlight.size).toBe(10)
    })
  )

  it.effect("tells what is on its way of some keys, in the order of their places", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(10)
      const { offer } = recorder()
      const [one, two, three] = MessageFixture.threeOf("customer/1")
      const other = MessageFixture.make({ key: "customer/2" })
      yield* inFlight.admit(stored([three, one, other, two]), deliveryOf, offer)
      const found = inFlight.ofKeys(new Set(["customer/1"]), ({ key }) => key)
      expect(found.map(({ message }) => message)).toEqual([one, two, three])
    })
  )

  it.effect("leaves out what belongs to a slot that went while there was no room", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(2)
      const { offer, offered } = recorder()
      let takes = true
      const messages = MessageFixture.ofKey("customer/1", 3)
      const admitting = yield* Effect.fork(inFlight.admit(stored(messages), deliveryOf, offer, () => takes))
      yield* settleForTheTest
      takes = false
      yield* inFlight.settled(offered)
      yield* Fiber.join(admitting)
      expect([offered.length, inFlight.size]).toEqual([2, 0])
      yield* inFlight.admit(stored(MessageFixture.ofKey("customer/2", 2)), deliveryOf, offer)
      expect(inFlight.size).toBe(2)
    })
  )

  it.effect("tells since when the first of those on their way has been there", () =>
    Effect.gen(function* () {
      const inFlight = new InFlight(10)
      const { offer, offered } = recorder()
      expect(Option.fromNullable(inFlight.oldestCreatedAt)).toEqual(Option.none())
      const messages = [7, 9].map((createdAt) => MessageFixture.make({ sequence: createdAt, createdAt }))
      yield* inFlight.admit(stored(messages), deliveryOf, offer)
      expect(inFlight.oldestCreatedAt).toBe(7)
      yield* inFlight.settled(offered.slice(0, 1))
      expect(inFlight.oldestCreatedAt).toBe(9)
    })
  )
})
