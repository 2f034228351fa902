import { describe, expect, it } from "@effect/vitest"
import { MessageFixture, RecordingSink, VirtualClock } from "@twinbox/testkit"
import { Effect } from "effect"
import * as Delivery from "../src/Delivery.ts"
import * as RelayLane from "../src/RelayLane.ts"

/** A clock on which all sleepers wake in the same turn. */
class GongClock extends VirtualClock.VirtualClock {
  readonly gong = Effect.unsafeMakeLatch()
  override sleep() {
    return this.gong.await
  }
}

describe("a lane", () => {
  // The number of turns decides whether the new message or the end of the wait is seen first.
  it.scoped.each(Array.from({ length: 12 }, (_, turns) => turns))(
    "loses no message that arrives just when a waiting key is due (%i turns later)",
    (turns) =>
      Effect.gen(function* () {
        const clock = new GongClock()
        yield* Effect.withClockScoped(clock)
        const recording = RecordingSink.make({ topics: [MessageFixture.topic] })
        yield* recording.refuse(({ key }) =>
          key === "customer/refused" ? { reason: "Busy", error: "later", retryable: true } : undefined
        )
        const lane = yield* RelayLane.make(
          recording.sink,
          {
            batchSize: 10,
            timeout: "1 hour",
            retry: { maxAttempts: 10, firstDelayMillis: 100, factor: 1, maxDelayMillis: 100 },
            afterDeadLetter: "park"
          },
          [],
          () => Effect.void
        )
        const offer = (key: string) =>
          lane.offer([Delivery.make(MessageFixture.make({ key, id: key }), 1, 10)])
        yield* Effect.forkScoped(lane.run)
        yield* offer("customer/refused")
        yield* VirtualClock.settle
        const late = clock.gong.await.pipe(
          Effect.zipRight(Effect.repeatN(Effect.yieldNow(), turns)),
          Effect.zipRight(offer("customer/late"))
        )
        yield* Effect.forkScoped(late)
        yield* VirtualClock.settle
        yield* clock.gong.release
        yield* VirtualClock.settle
        yield* offer("customer/next")
        yield* VirtualClock.settle
        expect(recording.received().map(({ key }) => key)).toEqual(["customer/late", "customer/next"])
      })
  )
})
