import { describe, expect, it } from "@effect/vitest"
import { MessageFixture, RecordingSink, VirtualClock } from "@twinbox/testkit"
import { Effect, Exit, Fiber, Option } from "effect"

const make = () => RecordingSink.make({ name: "mirror", topics: [MessageFixture.topic] })
const batch = MessageFixture.ofKey("customer/1", 3)

describe("RecordingSink", () => {
  it.effect("keeps what arrives, in order, and what it was called with", () =>
    Effect.gen(function* () {
      const sink = make()
      expect(yield* sink.sink.deliver(batch)).toEqual([])
      expect(sink.received()).toEqual(batch)
      expect(sink.calls()).toEqual([batch])
      expect(sink.newest("customer/1")).toEqual(batch[2])
    })
  )

  it.effect("fails as often as it is told, and takes nothing then", () =>
    Effect.gen(function* () {
      const sink = make()
      yield* sink.failNext(RecordingSink.fail("NotReady"), 2)
      const errors = yield* Effect.replicateEffect(Effect.flip(sink.sink.deliver(batch)), 2)
      expect(errors.map(({ reason, sink }) => [sink, reason])).toEqual([
        ["mirror", "NotReady"],
        ["mirror", "NotReady"]
      ])
      expect(sink.received()).toEqual([])
      yield* sink.sink.deliver(batch)
      expect(sink.received()).toEqual(batch)
    })
  )

  it.effect("loses a reply after it has taken the batch", () =>
    Effect.gen(function* () {
      const sink = make()
      yield* sink.failNext(RecordingSink.loseReply("Timeout"))
      expect((yield* Effect.flip(sink.sink.deliver(batch))).reason).toBe("Timeout")
      expect(sink.received()).toEqual(batch)
    })
  )

  it.effect("stays broken until it is mended", () =>
    Effect.gen(function* () {
      const sink = make()
      yield* sink.breakWith(RecordingSink.die("a bug"))
      const exits = yield* Effect.replicateEffect(Effect.exit(sink.sink.deliver(batch)), 3)
      expect(exits).toEqual([Exit.die("a bug"), Exit.die("a bug"), Exit.die("a bug")])
      yield* sink.mend
      yield* sink.sink.deliver(batch)
    })
  )

  it.scoped("hangs, and can be interrupted", () =>
    Effect.gen(function* () {
      const sink = make()
      yield* sink.failNext(RecordingSink.hang)
      const call = yield* Effect.fork(sink.sink.deliver(batch))
      yield* VirtualClock.settle
      expect(Option.isNone(yield* Fiber.poll(call))).toBe(true)
      yield* Fiber.interrupt(call)
    })
  )

  it.scoped("is slow", () =>
    Effect.gen(function* () {
      const clock = new VirtualClock.VirtualClock()
      yield* Effect.withClockScoped(clock)
      const sink = make()
      yield* sink.slow("5 seconds")
      const call = yield* Effect.fork(sink.sink.deliver(batch))
      yield* clock.advance("4999 millis")
      expect(sink.received()).toEqual([])
      yield* clock.advance("1 millis")
      expect(sink.received()).toEqual(batch)
      yield* Fiber.join(call)
    })
  )

  it.effect("refuses single messages and leaves out what follows of their key", () =>
    Effect.gen(function* () {
      const sink = make()
      const other = MessageFixture.make({ key: "customer/2" })
      yield* sink.refuse(({ sequence }) =>
        sequence === 2 ? { reason: "Bad", error: "bad", retryable: false } : undefined
      )
      const rejections = yield* sink.sink.deliver([...batch, other])
      expect(rejections).toEqual([{ messageId: batch[1]?.id, reason: "Bad", error: "bad", retryable: false }])
      expect(sink.received()).toEqual([batch[0], other])
    })
  )

  it.effect("dies of a poisonous message, and takes nothing of its batch", () =>
    Effect.gen(function* () {
      const sink = make()
      yield* sink.dieOn(({ sequence }) => sequence === 3)
      expect(Exit.isFailure(yield* Effect.exit(sink.sink.deliver(batch)))).toBe(true)
      yield* sink.sink.deliver(batch.slice(0, 2))
      expect(sink.received()).toEqual(batch.slice(0, 2))
    })
  )
})
