import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import * as BatchOutcome from "../src/BatchOutcome.ts"
import { Circuit } from "../src/Circuit.ts"
import * as Delivery from "../src/Delivery.ts"
import * as LaneVerdict from "../src/LaneVerdict.ts"
import type { Message } from "../src/Message.ts"
import { maxHistory } from "../src/OutboxStore.ts"
import * as RelayPolicy from "../src/RelayPolicy.ts"
import * as SuspectBatch from "../src/SuspectBatch.ts"

const delivery = (message: Message, marks = 0) =>
  Delivery.make({ _tag: "Message", message, marks: { mirror: marks } }, 1, 10)
const [a1, a2, a3] = MessageFixture.ofKey("customer/a", 3) as [Message, Message, Message]
const b1 = MessageFixture.make({ key: "customer/b" })
const refusal = (message: Message, retryable = true, reason = "Busy") => ({
  messageId: message.id,
  reason,
  error: "later",
  retryable
})

describe("the outcome of a batch", () => {
  it("stops a key at its first refusal; the rest of the key counts as not sent", () => {
    const batch = [a1, b1, a2, a3].map((message) => delivery(message))
    const { confirmed, stops } = BatchOutcome.split(batch, [refusal(a2), refusal(a3)], ({ key }) => key)
    expect(confirmed.map(({ message }) => message)).toEqual([a1, b1])
    expect([...stops.keys()]).toEqual(["customer/a"])
    expect(stops.get("customer/a")).toMatchObject({ refused: { message: a2 }, followers: [{ message: a3 }] })
  })
})

describe("the verdict on a refusal", () => {
  const options = { retry: { ...RelayPolicy.defaultRetry, maxAttempts: 3 }, afterDeadLetter: "park" as const }
  const at = {
    sink: "mirror",
    nowMillis: 1_000,
    wallMillis: 77_000,
    random: 0,
    successes: 5,
    isOrdered: true
  }
  const stop = (retryable: boolean, reason?: string) => ({
    rejection: refusal(a1, retryable, reason),
    refused: delivery(a1),
    followers: []
  })

  it("is another attempt, until they are used up; all of them are in the dead letter's history", () => {
    const first = LaneVerdict.judge(stop(true), undefined, options, at)
    expect(first).toMatchObject({ _tag: "Retry", stopped: { attempts: 1, slot: a1.slot } })
    if (first._tag !== "Retry") return
    const last = LaneVerdict.judge(stop(true), { ...first.stopped, attempts: 2 }, options, at)
    expect(last).toMatchObject({ _tag: "Dead", letter: { attempts: 3, blocks: true, reason: "Busy" } })
    if (last._tag === "Dead") expect(last.letter.history).toHaveLength(2)
  })

  it("is a dead letter at once when the refusal is final; it blocks nothing by 'skip' or on unordered topics", () => {
    const letterOf = (...given: Parameters<typeof LaneVerdict.judge>) => {
      const verdict = LaneVerdict.judge(...given)
      return verdict._tag === "Dead" ? verdict.letter.blocks : undefined
    }
    expect(letterOf(stop(false), undefined, options, at)).toBe(true)
    expect(letterOf(stop(false), undefined, { ...options, afterDeadLetter: "skip" }, at)).toBe(false)
    expect(letterOf(stop(false), undefined, options, { ...at, isOrdered: false })).toBe(false)
  })

  it("counts a call that took too long only when the sink has taken others since", () => {
    const first = LaneVerdict.judge(stop(true, "Timeout"), undefined, options, at)
    if (first._tag !== "Retry") throw new Error("expected another attempt")
    expect(first.stopped).toMatchObject({ attempts: 1, isSlow: true })
    const again = (successes: number) =>
      LaneVerdict.judge(stop(true, "Timeout"), first.stopped, options, { ...at, successes })
    expect(again(5)).toMatchObject({ stopped: { attempts: 1 } })
    expect(again(6)).toMatchObject({ stopped: { attempts: 2 } })
  })

  it("keeps the newest attempts of a long history", () => {
    const history = Array.from({ length: maxHistory }, (_, number) => ({
      at: number,
      reason: "Old",
      error: "old"
    }))
    const before = { slot: 0, attempts: 1, dueMillis: 0, history, successes: 0, isSlow: false }
    const verdict = LaneVerdict.judge(stop(true), before, options, at)
    if (verdict._tag !== "Retry") throw new Error("expected another attempt")
    expect(verdict.stopped.history).toHaveLength(maxHistory)
    expect(verdict.stopped.history.at(-1)).toMatchObject({ at: 77_000, reason: "Busy" })
  })
})

describe("batches out of suspect slots", () => {
  it("shrink with the deaths of their worst message, down to that message alone", () => {
    expect([0, 1, 2, 3, 4].map((marks) => SuspectBatch.sizeLimit(marks, 500))).toEqual([500, 62, 7, 1, 1])
    const batch = [delivery(a1), delivery(a2), delivery(b1, 3), delivery(a3)]
    expect(SuspectBatch.prefixLength(batch, "mirror", 500)).toBe(2)
    expect(SuspectBatch.prefixLength(batch.slice(2), "mirror", 500)).toBe(1)
    expect(SuspectBatch.prefixLength(batch, "another", 500)).toBe(4)
  })

  it("give a message up that was alone when the process died three times", () => {
    expect([5, 6].map((marks) => SuspectBatch.isDeadly(marks, 500))).toEqual([false, true])
    expect([2, 3].map((marks) => SuspectBatch.isDeadly(marks, 1))).toEqual([false, true])
  })
})

describe("a circuit", () => {
  it("opens when the sink has been away for longer than the patience, and closes with the first success", () => {
    const circuit = new Circuit(1_000)
    circuit.fail(0, 0)
    circuit.fail(999, 0)
    expect([circuit.isFailing, circuit.isOpen]).toEqual([true, false])
    circuit.fail(1_000, 0)
    expect(circuit.isOpen).toBe(true)
    circuit.succeed()
    expect([circuit.isFailing, circuit.isOpen, circuit.successes]).toEqual([false, false, 1])
    circuit.fail(5_000, 0)
    expect(circuit.isOpen).toBe(false)
  })

  it("is asked again when the patience ends, and no later", () => {
    const opensAt = new Circuit(1_000)
    let now = 0
    while (!opensAt.isOpen) {
      const pause = opensAt.fail(now, 0.9)
      if (opensAt.isOpen) expect(now).toBe(1_000)
      now += pause
    }
  })

  it("waits longer with every failure, within bounds", () => {
    const circuit = new Circuit(0)
    const pauses = Array.from({ length: 10 }, (_, number) => circuit.fail(number, 0.999_999))
    expect(pauses.slice(0, 3).map(Math.round)).toEqual([100, 200, 400])
    expect(Math.max(...pauses)).toBeLessThanOrEqual(5_000)
  })
})
