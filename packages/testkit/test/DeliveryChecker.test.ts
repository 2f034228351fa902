import { describe, expect, it } from "@effect/vitest"
import { DeliveryChecker, HistoryArbitrary, MessageFixture } from "@twinbox/testkit"
import type { Message } from "@twinbox/outbox"
import { FastCheck } from "effect"

const clean = { lost: [], disordered: [], neverCommitted: [], altered: [], duplicates: 0 }
const [a1, a2, a3] = ["a1", "a2", "a3"].map((id, at) =>
  MessageFixture.make({ id, key: "customer/a", sequence: at + 1 })
) as [Message.Message, Message.Message, Message.Message]
const b1 = MessageFixture.make({ id: "b1", key: "customer/b" })
const b2 = MessageFixture.make({ id: "b2", key: "customer/b", ordinal: 1 })
const committed = [a1, a2, a3, b1, b2]

const check = (
  received: DeliveryChecker.Evidence["received"],
  more: Partial<DeliveryChecker.Evidence> = {}
) => DeliveryChecker.check({ committed, received, ...more })

describe("DeliveryChecker", () => {
  it("finds nothing wrong with keys mixed in any way", () => {
    const report = check([b1, a1, a2, b2, a3])
    expect(report).toEqual(clean)
    expect(DeliveryChecker.isSound(report)).toBe(true)
  })

  it("finds what was lost, but for what is still owed", () => {
    expect(check([a1, a2, b1, b2]).lost).toEqual(["a3"])
    expect(check([a1, b1], { owed: ["a3", "a2"] }).lost).toEqual(["b2"])
  })

  it("finds a later message that came before an earlier one, by sequence and by ordinal", () => {
    expect(check([a1, a3, a2, b1, b2]).disordered).toEqual([
      { orderKey: "customer/a", after: "a3", id: "a2" }
    ])
    expect(check([a1, a2, a3, b2, b1]).disordered).toEqual([
      { orderKey: "customer/b", after: "b2", id: "b1" }
    ])
  })

  it("finds two messages in one place", () => {
    const rival = { ...a2, id: "rival" }
    const report = DeliveryChecker.check({ committed: [a2, rival], received: [a2, rival] })
    expect(report.disordered).toHaveLength(1)
  })

  it("finds what never committed", () => {
    expect(check([a1, a2, a3, b1, b2, { ...a1, id: "ghost", sequence: 9 }]).neverCommitted).toEqual(["ghost"])
  })

  it("finds what arrived other than it committed", () => {
    expect(check([{ ...a1, payload: "{}" }, a2, a3, b1, b2]).altered).toEqual(["a1"])
    expect(check([{ ...a1, key: "customer/c" }, a2, a3, b1, b2]).altered).toEqual(["a1"])
  })

  it("counts duplicates, also late ones, and holds them against nobody", () => {
    const report = check([a1, a2, a1, a3, b1, b2, a1, b1])
    expect(report).toEqual({ ...clean, duplicates: 3 })
    expect(DeliveryChecker.isSound(report)).toBe(true)
  })

  it("keeps order of what it is told to", () => {
    expect(check([a3, a2, a1, b2, b1], { orderKey: ({ id }) => id })).toEqual(clean)
  })

  it.prop(
    "accepts every history delivered in order with anything repeated, and no history with something missing",
    [HistoryArbitrary.history(), FastCheck.array(FastCheck.nat({ max: 10 }))],
    ([history, repeats]) => {
      const received = history.flatMap((message, at) => [
        message,
        ...history.slice(0, Math.min(at + 1, repeats[at % Math.max(1, repeats.length)] ?? 0))
      ])
      const report = DeliveryChecker.check({ committed: history, received })
      expect(report).toEqual({ ...clean, duplicates: received.length - history.length })
      const without = DeliveryChecker.check({ committed: history, received: history.slice(1) })
      expect(without.lost).toEqual([history[0]?.id])
    }
  )

  it.prop(
    "rejects every history with two messages of a key swapped",
    [HistoryArbitrary.history()],
    ([history]) => {
      const at = history.findIndex((message, index) => history[index + 1]?.key === message.key)
      FastCheck.pre(at >= 0)
      const swapped = history.toSpliced(at, 2, ...history.slice(at, at + 2).toReversed())
      const report = DeliveryChecker.check({ committed: history, received: swapped })
      expect(report.disordered).toHaveLength(1)
      expect(DeliveryChecker.isSound(report)).toBe(false)
    }
  )
})
