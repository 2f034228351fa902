import { describe, expect, it } from "@effect/vitest"
import { InboxConformance, MessageFixture, VirtualClock } from "@twinbox/testkit"
import { Duration, Effect, Exit, FastCheck } from "effect"
import * as Inbox from "../src/Inbox.ts"
import * as InboxMemory from "../src/InboxMemory.ts"

InboxConformance.suite("InboxMemory", (options) =>
  Effect.map(InboxMemory.make(options), ({ inbox, transact }) => {
    const clock = new VirtualClock.VirtualClock()
    let total = 0
    let next = 0
    const harness: InboxConformance.InboxHarness = {
      inbox,
      // Transactions run one at a time: the number of the open one needs no other place.
      transact: (body) =>
        transact(
          Effect.suspend(() => {
            next = total
            return body
          })
        ).pipe(
          Effect.tap(() => {
            total = next
          }),
          Effect.withClock(clock)
        ),
      increment: Effect.sync(() => void (next += 1)),
      total: Effect.sync(() => total),
      age: (duration) => clock.advance(duration)
    }
    return harness
  })
)

describe("once", () => {
  it.effect("does not compile outside a transaction", () =>
    Effect.gen(function* () {
      const { inbox, transact } = yield* InboxMemory.make()
      const once = inbox.once({ name: "a" }, MessageFixture.make(), Effect.void)
      // @ts-expect-error -- the transaction is missing
      const outside: Effect.Effect<unknown, unknown> = once
      const inside: Effect.Effect<unknown, unknown> = transact(once)
      expect(Exit.isFailure(yield* Effect.exit(outside))).toBe(true)
      expect(Exit.isSuccess(yield* Effect.exit(inside))).toBe(true)
    })
  )
})

const place = FastCheck.record({ sequence: FastCheck.nat({ max: 3 }), ordinal: FastCheck.nat({ max: 2 }) })

describe("judge", () => {
  it.prop("lets a key only go forward", [place, place], ([message, newest]) => {
    const verdict = Inbox.judge(message, { isApplied: false, newest })
    const at = (one: Inbox.Place) => one.sequence * 10 + one.ordinal
    const expected = at(message) > at(newest) ? "New" : at(message) === at(newest) ? "Duplicate" : "Stale"
    expect(verdict).toBe(expected)
  })

  it.prop("lets no message through twice", [place, FastCheck.option(place)], ([message, newest]) => {
    const known = { isApplied: true, newest: newest ?? undefined }
    expect(Inbox.judge(message, known)).toBe("Duplicate")
  })
})

describe("guardFor", () => {
  it("asks for a guard on ordered topics only", () => {
    expect([true, false].map((ordered) => Inbox.guardFor({ ordered }))).toEqual(["sequence", "none"])
  })
})

describe("lifetimesOf", () => {
  it("keeps ids for 7 days and guards for ever if nobody says otherwise", () => {
    expect(Inbox.lifetimesOf({})).toEqual({ ids: 604_800_000, guards: undefined })
    expect(Inbox.lifetimesOf({ keepFor: Duration.infinity, keepGuardsFor: "1 hour" })).toEqual({
      ids: undefined,
      guards: 3_600_000
    })
  })
})
