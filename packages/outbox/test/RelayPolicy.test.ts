import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as DeliveryState from "../src/DeliveryState.ts"
import * as RelayPolicy from "../src/RelayPolicy.ts"

const policy: FastCheck.Arbitrary<RelayPolicy.RetryPolicy> = FastCheck.record({
  maxAttempts: FastCheck.integer({ min: 1, max: 50 }),
  firstDelayMillis: FastCheck.integer({ min: 1, max: 10_000 }),
  factor: FastCheck.double({ min: 1, max: 10, noNaN: true }),
  maxDelayMillis: FastCheck.integer({ min: 1, max: 100_000 })
})
const random = FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const attempts = FastCheck.integer({ min: 1, max: 10_000 })
const rejection = FastCheck.record({
  messageId: FastCheck.uuid(),
  reason: FastCheck.constant("Rejected"),
  error: FastCheck.string(),
  retryable: FastCheck.boolean()
})

describe("delayMillis", () => {
  it("doubles up to its bound by default", () => {
    const full = [1, 2, 3, 4, 9, 10, 5_000].map(
      (made) => 2 * RelayPolicy.delayMillis(RelayPolicy.defaultRetry, made, 0)
    )
    expect(full).toEqual([100, 200, 400, 800, 25_600, 30_000, 30_000])
  })

  it.prop(
    "takes off a random half at most, and never exceeds its bound",
    [policy, attempts, random],
    (given) => {
      const [options, made, draw] = given
      const delay = RelayPolicy.delayMillis(options, made, draw)
      const least = RelayPolicy.delayMillis(options, made, 0)
      expect(delay).toBeGreaterThan(0)
      expect(delay).toBeGreaterThanOrEqual(least)
      expect(delay).toBeLessThanOrEqual(2 * least)
      expect(delay).toBeLessThanOrEqual(options.maxDelayMillis)
    }
  )

  it.prop("never shrinks with the attempts", [policy, attempts, random], ([options, made, draw]) => {
    const delay = RelayPolicy.delayMillis(options, made, draw)
    expect(RelayPolicy.delayMillis(options, made + 1, draw)).toBeGreaterThanOrEqual(delay)
  })
})

describe("DeliveryState.rejected", () => {
  const now = 1_000_000
  const before = FastCheck.nat({ max: 60 })

  it.prop(
    "waits while attempts are left, and is dead after the last",
    [policy, rejection, random, before],
    (given) => {
      const [options, refused, draw, attemptsBefore] = given
      const state = DeliveryState.rejected(attemptsBefore, refused, options, now, draw)
      const isLast = attemptsBefore + 1 >= options.maxAttempts
      expect(state._tag).toBe(refused.retryable && !isLast ? "Waiting" : "Dead")
      expect("attempts" in state && state.attempts).toBe(attemptsBefore + 1)
    }
  )

  it.prop("is due after the policy's delay", [policy, rejection, random, before], (given) => {
    const [options, refused, draw, attemptsBefore] = given
    const state = DeliveryState.rejected(attemptsBefore, refused, options, now, draw)
    if (state._tag !== "Waiting") return
    expect(state.dueMillis).toBe(now + RelayPolicy.delayMillis(options, attemptsBefore + 1, draw))
  })

  it.prop(
    "makes exactly maxAttempts attempts of what is always refused",
    [policy, random],
    ([options, draw]) => {
      const refused = { messageId: "m", reason: "Rejected", error: "", retryable: true }
      let made = 0
      for (let state = DeliveryState.initial; state._tag !== "Dead"; made++) {
        const attemptsBefore = state._tag === "Confirmed" ? 0 : state.attempts
        state = DeliveryState.rejected(attemptsBefore, refused, options, now, draw)
      }
      expect(made).toBe(options.maxAttempts)
    }
  )
})
