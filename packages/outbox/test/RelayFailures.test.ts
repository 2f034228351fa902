import { describe, expect, it } from "@effect/vitest"
import { MessageFixture, RecordingSink } from "@twinbox/testkit"
import { Effect, Fiber, Logger } from "effect"
import type { Message } from "../src/Message.ts"
import * as RelayPolicy from "../src/RelayPolicy.ts"
import type { Rejection } from "../src/Sink.ts"
import * as Slot from "../src/Slot.ts"
import * as RelayWorld from "./RelayWorld.ts"

const recording = (name: string) => RecordingSink.make({ name, topics: [MessageFixture.topic] })
const sound = { lost: [], disordered: [], neverCommitted: [], altered: [], duplicates: 0 }
const idsOf = (messages: ReadonlyArray<{ readonly id: string }>) => messages.map(({ id }) => id)

const refusing =
  (id: string, retryable: boolean) =>
  (message: Message): Omit<Rejection, "messageId"> | undefined =>
    message.id === id ? { reason: "Rejected", error: "refused by a test", retryable } : undefined

/** Three messages of one key and one of another. */
const fourMessages = () => {
  const [a1, a2, a3] = MessageFixture.ofKey("customer/a", 3) as [Message, Message, Message]
  return { a1, a2, a3, b1: MessageFixture.make({ key: "customer/b" }) }
}

describe("a sink that is away", () => {
  it.scoped.each(["Unavailable", "NotReady", "Timeout"] as const)(
    "(%s) gets everything in order when it is back, and no attempt is counted",
    (reason) =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const sink = recording("one")
        yield* sink.breakWith(RecordingSink.fail(reason))
        yield* world.start({ sinks: [sink.sink], retry: { ...RelayPolicy.defaultRetry, maxAttempts: 1 } })
        for (const message of MessageFixture.ofKey("customer/1", 20)) yield* world.commit(message)
        yield* RelayWorld.advance("2 minutes")
        expect(sink.received()).toEqual([])
        expect(sink.calls().length).toBeGreaterThan(5)
        // No busy loop: with five seconds at most between two calls, jittered.
        expect(sink.calls().length).toBeLessThan(80)
        yield* sink.mend
        yield* world.drained
        expect(world.check(sink)).toEqual(sound)
        expect((yield* world.stats).dead).toBe(0)
      })
  )

  it.scoped("keeps nothing from the other sinks: after a second its messages are behind for it alone", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [away, here] = [recording("away"), recording("here")]
      yield* away.breakWith(RecordingSink.fail())
      const { relay } = yield* world.start({ sinks: [away.sink, here.sink], maxInFlight: 50 })
      const messages = MessageFixture.ofKey("customer/1", 500)
      for (const message of messages.slice(0, 20)) yield* world.commit(message)
      yield* RelayWorld.settle
      expect(here.received()).toHaveLength(20)
      expect(yield* world.stats).toMatchObject({ ready: 20, behind: 0 })
      yield* RelayWorld.advance("2 seconds")
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 20 })
      // Far more than there is room for in memory.
      for (const message of messages.slice(20)) yield* world.commit(message)
      yield* RelayWorld.advance("5 seconds")
      expect(here.received()).toHaveLength(500)
      expect((yield* relay.status).sinks).toMatchObject([{ state: "away" }, { state: "flowing" }])
      yield* away.mend
      yield* world.drained
      expect([world.check(away), world.check(here)]).toEqual([sound, sound])
      yield* RelayWorld.eventually("both flow", () =>
        Effect.runSync(relay.status).sinks.every(({ state }) => state === "flowing")
      )
      yield* world.commit(MessageFixture.make({ key: "customer/1", sequence: 501 }))
      yield* RelayWorld.eventually("the next one arrives", () => away.received().length === 501)
      yield* world.drained
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0 })
    })
  )

  it.scoped("and never answers is given up on after the time limit, and asked again", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* sink.failNext(RecordingSink.hang, 2)
      yield* world.start({ sinks: [sink.sink], sinkTimeout: "10 seconds" })
      yield* world.commit(MessageFixture.make())
      yield* RelayWorld.advance("9 seconds")
      expect(sink.calls()).toHaveLength(1)
      yield* RelayWorld.advance("3 seconds")
      expect(sink.calls()).toHaveLength(2)
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
    })
  )

  it.scoped(
    "has a relay hold no more than its bound; a full live relay closes its feed until there is room",
    () =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const sink = recording("one")
        const { relay } = yield* world.start({ sinks: [sink.sink], maxInFlight: 10 })
        yield* sink.breakWith(RecordingSink.hang)
        expect(world.faulty.openFeeds()).toBe(1)
        let most = 0
        for (const message of MessageFixture.ofKey("customer/1", 60)) {
          yield* world.commit(message)
          most = Math.max(most, (yield* relay.status).inFlight)
        }
        yield* RelayWorld.advance("5 seconds")
        expect(Math.max(most, (yield* relay.status).inFlight)).toBe(10)
        expect((yield* relay.status).mode).toBe("catching-up")
        expect(world.faulty.openFeeds()).toBe(0)
        yield* sink.mend
        yield* world.drained
        expect(world.check(sink)).toEqual(sound)
        yield* RelayWorld.eventually("live again", () => world.faulty.openFeeds() === 1)
      })
  )

  it.scoped("has a relay close its feed also when there is no room during a sweep", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* world.start({ sinks: [sink.sink], maxInFlight: 10, sweepEvery: "10 seconds" })
      yield* sink.breakWith(RecordingSink.hang)
      yield* world.faulty.hideFromFeeds(() => true)
      yield* world.commit(...MessageFixture.ofKey("customer/1", 60))
      expect(world.faulty.openFeeds()).toBe(1)
      yield* RelayWorld.advance("15 seconds")
      expect(world.faulty.openFeeds()).toBe(0)
      yield* sink.mend
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
    })
  )
})

describe("a message that a sink refuses", () => {
  it.scoped("is sent again after a growing delay, while other keys go on", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const { a1, a2, a3, b1 } = fourMessages()
      yield* sink.refuse(refusing(a2.id, true))
      yield* world.start({ sinks: [sink.sink] })
      yield* world.commit(a1, a2, a3, b1)
      yield* RelayWorld.settle
      expect(new Set(idsOf(sink.received()))).toEqual(new Set(idsOf([a1, b1])))
      const before = sink.calls().length
      yield* RelayWorld.advance("1 seconds")
      const quick = sink.calls().length - before
      yield* RelayWorld.advance("1 seconds")
      const slower = sink.calls().length - before - quick
      expect(quick).toBeGreaterThanOrEqual(3)
      expect(slower).toBeLessThan(quick)
      yield* sink.refuse()
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
    })
  )

  it.scoped("after its last attempt is a dead letter, and its key waits at that sink only", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [strict, easy] = [recording("strict"), recording("easy")]
      const { a1, a2, a3, b1 } = fourMessages()
      yield* strict.refuse(refusing(a2.id, true))
      yield* world.start({
        sinks: [strict.sink, easy.sink],
        retry: { ...RelayPolicy.defaultRetry, maxAttempts: 3 }
      })
      yield* world.commit(a1, a2, a3, b1)
      yield* world.drained
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 1, dead: 1 })
      expect(yield* world.store.blockedKeys({ sink: "strict", slots: Slot.all })).toEqual(["customer/a"])
      expect(yield* world.store.blockedKeys({ sink: "easy", slots: Slot.all })).toEqual([])
      expect(idsOf(strict.received()).toSorted()).toEqual(idsOf([a1, b1]).toSorted())
      expect(strict.calls().filter((batch) => batch.some(({ id }) => id === a2.id))).toHaveLength(3)
      expect(world.check(easy)).toEqual(sound)
    })
  )

  it.scoped("for good is a dead letter at once; what follows of its key is left behind", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [strict, easy] = [recording("strict"), recording("easy")]
      const { a1, a2, a3, b1 } = fourMessages()
      yield* strict.refuse(refusing(a1.id, false))
      yield* world.start({ sinks: [strict.sink, easy.sink] })
      yield* world.commit(a1, a2, b1)
      yield* RelayWorld.advance("1 second")
      yield* world.commit(a3)
      yield* RelayWorld.advance("1 second")
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 2, dead: 1 })
      expect(idsOf(strict.received())).toEqual([b1.id])
      expect(world.check(easy)).toEqual(sound)
    })
  )

  it.scoped.each([true, false])(
    "is reported with the request and the session that it belongs to, and no other header (retryable: %s)",
    (retryable) =>
      Effect.gen(function* () {
        const lines: Array<Record<string, unknown>> = []
        const logger = Logger.make(({ annotations, logLevel }) => {
          if (logLevel._tag === "Error") lines.push(Object.fromEntries(annotations))
        })
        const world = yield* RelayWorld.make
        const sink = recording("strict")
        const headers = { request_id: "r-1", session_id: "s-1", secret: "x" }
        const message = MessageFixture.make({ key: "customer/a", headers })
        yield* sink.refuse(refusing(message.id, retryable))
        yield* world
          .start({ sinks: [sink.sink], retry: { ...RelayPolicy.defaultRetry, maxAttempts: 2 } })
          .pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        yield* world.commit(message)
        yield* RelayWorld.advance("5 seconds")
        const relay = expect.any(String) as string
        expect(lines).toEqual([{ relay, request_id: "r-1", session_id: "s-1" }])
      })
  )

  it.scoped("keeps its key parked over a restart", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("strict")
      const { a1, a2, b1 } = fourMessages()
      yield* sink.refuse(refusing(a1.id, false))
      const first = yield* world.start({ sinks: [sink.sink] })
      yield* world.commit(a1)
      yield* RelayWorld.settle
      yield* world.stop(first.fiber)
      yield* world.start({ sinks: [sink.sink] })
      yield* world.commit(a2, b1)
      yield* world.drained
      expect(idsOf(sink.received())).toEqual([b1.id])
      expect(yield* world.stats).toMatchObject({ behind: 1, dead: 1 })
    })
  )

  it.scoped("holds up nothing with the policy 'skip', before and after a restart", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("easy-going")
      const { a1, a2, a3 } = fourMessages()
      yield* sink.refuse(refusing(a1.id, false))
      const first = yield* world.start({ sinks: [sink.sink], afterDeadLetter: "skip" })
      yield* world.commit(a1, a2)
      yield* world.drained
      yield* world.stop(first.fiber)
      yield* world.start({ sinks: [sink.sink], afterDeadLetter: "skip" })
      yield* world.commit(a3)
      yield* world.drained
      expect(world.check(sink, [a1.id])).toEqual(sound)
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0, dead: 1 })
    })
  )
})

describe("a batch that fails as a whole", () => {
  const poisonous = 13
  const messages = () => Array.from({ length: 40 }, (_, at) => MessageFixture.make({ key: `customer/${at}` }))

  it.scoped("by a defect is halved until the message to blame is alone; all others arrive once", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [fragile, sturdy] = [recording("fragile"), recording("sturdy")]
      const batch = messages()
      const poison = batch[poisonous]?.id ?? ""
      yield* fragile.dieOn(({ id }) => id === poison)
      yield* world.commit(...batch)
      yield* world.start({
        sinks: [fragile.sink, sturdy.sink],
        retry: { ...RelayPolicy.defaultRetry, maxAttempts: 2 }
      })
      yield* world.drained
      expect(world.check(fragile, [poison])).toEqual(sound)
      expect(idsOf(fragile.received())).not.toContain(poison)
      expect(world.check(sturdy)).toEqual(sound)
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0, dead: 1 })
    })
  )

  it.scoped("keeps the order of the key to blame: nothing of it goes past the blamed message", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("fragile")
      const ofKey = MessageFixture.ofKey("customer/1", 16)
      yield* sink.dieOn(({ sequence }) => sequence === 6)
      yield* world.commit(...ofKey)
      yield* world.start({ sinks: [sink.sink] })
      yield* RelayWorld.advance("1 seconds")
      expect(sink.received().map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5])
      yield* sink.dieOn()
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
    })
  )

  it.scoped.each([
    ["fails", RecordingSink.fail("Failed")],
    ["interrupts itself", RecordingSink.interrupt],
    ["dies", RecordingSink.die()]
  ] as const)("because the sink %s once is delivered all the same", ([, fault]) =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* sink.failNext(fault)
      yield* world.commit(...messages())
      const { fiber } = yield* world.start({ sinks: [sink.sink] })
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
      expect(yield* RelayWorld.runs(fiber)).toBe(true)
    })
  )

  it.scoped("because the sink throws before it returns an effect ends no relay", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [one, other] = [recording("one"), recording("other")]
      let thrown = 0
      const throwing = {
        ...one.sink,
        deliver: (batch: ReadonlyArray<Message>) => {
          if (thrown++ === 0) throw new Error("a bug in the sink")
          return one.sink.deliver(batch)
        }
      }
      yield* world.commit(...messages())
      yield* world.start({ sinks: [throwing, other.sink] })
      yield* world.drained
      expect([world.check(one), world.check(other)]).toEqual([sound, sound])
    })
  )

  it.scoped("after it arrived is sent again: duplicates, nothing lost, order kept", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* sink.failNext(RecordingSink.loseReply("Timeout"))
      yield* world.commit(...MessageFixture.ofKey("customer/1", 10))
      yield* world.start({ sinks: [sink.sink] })
      yield* world.drained
      expect(world.check(sink)).toEqual({ ...sound, duplicates: 10 })
    })
  )
})

describe("a corrupt record", () => {
  it.scoped("goes to the dead letters and holds up nobody", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const { a1, a2, b1 } = fourMessages()
      yield* world.insertCorrupt("broken", a1.slot)
      yield* world.commit(a1, b1)
      yield* world.start({ sinks: [sink.sink] })
      yield* world.commit(a2)
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0, dead: 1 })
    })
  )

  it.scoped("is found by the sweep when it comes later", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      yield* world.start({ sinks: [recording("one").sink] })
      yield* world.insertCorrupt("broken", 7)
      yield* world.drained
      expect(yield* world.stats).toMatchObject({ ready: 0, dead: 1 })
    })
  )
})

describe("a store that fails", () => {
  it.scoped("loses a relay its feed, and no message", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* world.start({ sinks: [sink.sink] })
      yield* world.faulty.loseFeeds
      for (const message of MessageFixture.ofKey("customer/1", 5)) yield* world.commit(message)
      yield* world.drained
      yield* world.faulty.loseFeeds
      yield* world.commit(MessageFixture.make({ sequence: 6 }))
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
      yield* RelayWorld.eventually("live again", () => world.faulty.openFeeds() === 1)
    })
  )

  it.scoped("while confirming has its deletes made when it is back; no sink is asked twice", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* world.start({ sinks: [sink.sink] })
      yield* world.faulty.breakWith("confirm", "Unavailable")
      for (const message of MessageFixture.ofKey("customer/1", 5)) yield* world.commit(message)
      yield* RelayWorld.advance("1 minute")
      expect(sink.received()).toHaveLength(5)
      expect((yield* world.stats).ready).toBe(5)
      yield* world.faulty.mend
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
    })
  )

  it.scoped("at a settlement that is too large has it made in parts", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [strict, easy] = [recording("strict"), recording("easy")]
      yield* strict.refuse(() => ({ reason: "Busy", error: "later", retryable: true }))
      yield* world.faulty.failNext("settle", "TooLarge", { times: 3 })
      yield* world.start({ sinks: [strict.sink, easy.sink] })
      yield* world.commit(...MessageFixture.ofKey("customer/1", 40))
      yield* RelayWorld.eventually("all is written", () => Effect.runSync(world.stats).behind === 40)
      expect(world.faulty.calls("settle")).toBeGreaterThanOrEqual(6)
      yield* strict.refuse()
      yield* world.drained
      for (const sink of [strict, easy]) expect(world.check(sink)).toEqual(sound)
    })
  )

  it.scoped("at a catch-up whose settlement is too large has it made in parts", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const messages = MessageFixture.ofKey("customer/1", 40)
      const bad = messages.at(-1)?.id ?? ""
      yield* sink.refuse(() => ({ reason: "Busy", error: "later", retryable: true }))
      yield* world.start({ sinks: [sink.sink] })
      yield* world.commit(...messages)
      yield* RelayWorld.eventually("all is behind", () => Effect.runSync(world.stats).behind === 40)
      yield* world.faulty.failNext("settleBehind", "TooLarge", { times: 3 })
      yield* sink.refuse(refusing(bad, false))
      yield* RelayWorld.eventually("all but one are delivered", () => Effect.runSync(world.stats).dead === 1)
      expect(world.faulty.calls("settleBehind")).toBeGreaterThanOrEqual(6)
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0, dead: 1 })
    })
  )

  it.scoped("at a message too large to be settled leaves that one where it is, and delays no other", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [strict, easy] = [recording("strict"), recording("easy")]
      const { a1, b1 } = fourMessages()
      yield* strict.refuse(refusing(a1.id, false))
      yield* world.faulty.failNext("settle", "TooLarge")
      const { fiber } = yield* world.start({ sinks: [strict.sink, easy.sink] })
      yield* world.commit(a1)
      yield* RelayWorld.advance("1 second")
      yield* world.commit(b1)
      yield* RelayWorld.advance("1 second")
      expect(yield* RelayWorld.runs(fiber)).toBe(true)
      expect(idsOf(strict.received())).toEqual([b1.id])
      expect(yield* world.stats).toMatchObject({ ready: 1, dead: 0 })
    })
  )

  it.scoped("while settling keeps no dead letter twice and loses none", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const { a1, a2 } = fourMessages()
      yield* sink.refuse(refusing(a1.id, false))
      yield* world.faulty.failNext("settle", "Unavailable", { times: 2 })
      yield* world.faulty.failNext("settle", "Unavailable", { lostReply: true })
      yield* world.start({ sinks: [sink.sink] })
      yield* world.commit(a1, a2)
      yield* world.drained
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 1, dead: 1 })
    })
  )

  it.scoped.each(["watch", "readReady", "cursor"] as const)(
    "at '%s' is tried again until it answers",
    (operation) =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const sink = recording("one")
        yield* world.faulty.breakWith(operation, operation === "cursor" ? "ReadLost" : "Unavailable")
        const { fiber } = yield* world.start({ sinks: [sink.sink] })
        yield* world.commit(...MessageFixture.ofKey("customer/1", 5))
        yield* RelayWorld.advance("1 minute")
        expect(yield* RelayWorld.runs(fiber)).toBe(true)
        yield* world.faulty.mend
        yield* world.drained
        expect(world.check(sink)).toEqual(sound)
      })
  )

  it.scoped("in a way that no new attempt mends ends the relay at once with that error", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      yield* world.faulty.breakWith("readReady", "Refused")
      const { fiber } = yield* world.start({ sinks: [recording("one").sink] })
      expect(yield* RelayWorld.failureOf(fiber)).toBe("Refused")
    })
  )
})

describe("a relay that is stopped", () => {
  it.scoped("takes nothing more in, finishes what is on its way, and gives its slots back", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* sink.slow("1 second")
      const { fiber } = yield* world.start({ sinks: [sink.sink], batchSize: 5 })
      yield* world.commit(...MessageFixture.ofKey("customer/1", 10))
      yield* RelayWorld.settle
      const stopping = yield* Effect.fork(world.stop(fiber))
      yield* RelayWorld.settle
      yield* world.commit(MessageFixture.make({ sequence: 11 }))
      yield* Fiber.join(stopping)
      expect(sink.received()).toHaveLength(10)
      expect((yield* world.stats).ready).toBe(1)
      expect(world.faulty.calls("release")).toBe(1)
      expect(world.faulty.openFeeds()).toBe(0)
      yield* world.start({ sinks: [sink.sink] })
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
    })
  )

  it.scoped.each(["hang", "away", "waiting"] as const)(
    "ends in time with a sink that does not finish (%s)",
    (how) =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const sink = recording("one")
        if (how === "hang") yield* sink.breakWith(RecordingSink.hang)
        if (how === "away") yield* sink.breakWith(RecordingSink.fail())
        if (how === "waiting") yield* sink.refuse(() => ({ reason: "Busy", error: "later", retryable: true }))
        const { fiber } = yield* world.start({
          sinks: [sink.sink],
          drainWithin: "3 seconds",
          retry: { ...RelayPolicy.defaultRetry, firstDelayMillis: 60_000, maxDelayMillis: 60_000 }
        })
        yield* world.commit(...MessageFixture.ofKey("customer/1", 10))
        yield* RelayWorld.settle
        const before = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        yield* world.stop(fiber)
        const took = (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - before
        expect(took).toBeLessThanOrEqual(4_000)
        // What the call hangs over is left as it was, the rest is written down as owed.
        const undone = { ready: how === "hang" ? 10 : 0, behind: how === "hang" ? 0 : 10, dead: 0 }
        expect(yield* world.stats).toMatchObject(undone)
        expect(world.faulty.calls("release")).toBe(1)
        yield* sink.mend
        yield* sink.refuse()
        yield* world.start({ sinks: [sink.sink] })
        yield* world.drained
        expect(world.check(sink)).toEqual(sound)
      })
  )

  it.scoped("ends in time with a store that is away", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const { fiber } = yield* world.start({ sinks: [sink.sink] })
      yield* world.faulty.breakWith("confirm", "Unavailable")
      yield* world.faulty.before("release", Effect.never)
      yield* world.commit(MessageFixture.make())
      yield* RelayWorld.settle
      yield* world.stop(fiber)
      expect((yield* world.stats).ready).toBe(1)
    })
  )
})
