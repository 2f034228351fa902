import { describe, expect, it } from "@effect/vitest"
import { HistoryArbitrary, MessageFixture, RecordingSink } from "@twinbox/testkit"
import { Effect, Fiber, Random, Schema } from "effect"
import * as Message from "../src/Message.ts"
import { OutboxStore } from "../src/OutboxStore.ts"
import * as OutboxMemory from "../src/OutboxMemory.ts"
import * as Relay from "../src/Relay.ts"
import * as Topic from "../src/Topic.ts"
import * as RelayWorld from "./RelayWorld.ts"

const recording = (name: string, topics: ReadonlyArray<Topic.Any> = [MessageFixture.topic]) =>
  RecordingSink.make({ name, topics })
const sound = { lost: [], disordered: [], neverCommitted: [], altered: [], duplicates: 0 }
const idsOf = (messages: ReadonlyArray<{ readonly id: string }>) => messages.map(({ id }) => id)
const rounds = Array.from({ length: 20 }, (_, round) => round)

describe("a relay", () => {
  it.scoped.prop(
    "delivers any history to every sink, in order and once, and empties the outbox",
    [HistoryArbitrary.history()],
    ([history]) =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const sinks = [recording("one"), recording("two")]
        const half = Math.floor(history.length / 2)
        yield* world.commit(...history.slice(0, half))
        yield* world.start({ sinks: sinks.map(({ sink }) => sink) })
        for (const message of history.slice(half)) yield* world.commit(message)
        yield* world.drained
        for (const sink of sinks) expect(world.check(sink)).toEqual(sound)
      }),
    { fastCheck: { numRuns: 20 } }
  )

  it.scoped("takes new messages from the feed without waiting for the clock", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const { relay } = yield* world.start({ sinks: [sink.sink] })
      expect((yield* relay.status).mode).toBe("live")
      const message = MessageFixture.make()
      yield* world.commit(message)
      yield* RelayWorld.settle
      expect(sink.received()).toEqual([message])
    })
  )

  it.scoped("deletes a message only when every sink has confirmed it", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [quick, slow] = [recording("quick"), recording("slow")]
      yield* slow.slow("10 seconds")
      const { relay } = yield* world.start({ sinks: [quick.sink, slow.sink] })
      yield* world.commit(MessageFixture.make({ createdAt: 77 }))
      yield* RelayWorld.settle
      expect([quick.received().length, slow.received().length]).toEqual([1, 0])
      expect((yield* world.stats).ready).toBe(1)
      expect(yield* relay.status).toMatchObject({ mode: "live", inFlight: 1, oldestCreatedAt: 77 })
      yield* RelayWorld.advance("11 seconds")
      expect(slow.received()).toHaveLength(1)
      expect((yield* world.stats).ready).toBe(0)
      expect(yield* relay.status).toMatchObject({ mode: "live", inFlight: 0, oldestCreatedAt: undefined })
    })
  )

  it.scoped("deletes what is confirmed within a moment in one write, and a crowd at once", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* world.start({ sinks: [sink.sink], maxInFlight: 40 })
      const messages = MessageFixture.ofKey("customer/1", 12)
      for (const message of messages.slice(0, 2)) yield* world.commit(message)
      yield* RelayWorld.settle
      expect(sink.received()).toHaveLength(2)
      expect((yield* world.stats).ready).toBe(2)
      yield* RelayWorld.advance("20 millis")
      expect((yield* world.stats).ready).toBe(0)
      // A quarter of what it may hold.
      for (const message of messages.slice(2)) yield* world.commit(message)
      yield* RelayWorld.settle
      expect(sink.received()).toHaveLength(12)
      expect((yield* world.stats).ready).toBe(0)
    })
  )

  it.scoped("sends each sink its own topics, and takes what nobody wants for delivered", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const other = Topic.anonymized("other", Schema.Unknown)
      const [one, both] = [recording("one"), recording("both", [MessageFixture.topic, other])]
      yield* world.start({ sinks: [one.sink, both.sink] })
      const mine = MessageFixture.make({ sequence: 1 })
      const theirs = MessageFixture.make({ sequence: 2, topic: "other" })
      const nobodys = MessageFixture.make({ sequence: 3, topic: "unwanted" })
      yield* world.commit(mine, theirs, nobodys)
      yield* world.drained
      expect(idsOf(one.received())).toEqual([mine.id])
      expect(idsOf(both.received())).toEqual([mine.id, theirs.id])
    })
  )

  it.scoped("gives a sink without topics nothing, and delivers to the others", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [none, one] = [recording("none", []), recording("one")]
      yield* world.start({ sinks: [none.sink, one.sink] })
      yield* world.commit(MessageFixture.make())
      yield* world.drained
      expect([none.calls().length, one.received().length]).toEqual([0, 1])
    })
  )

  it.scoped("never puts more into one call than the batch size, and no call without a message", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* world.commit(...MessageFixture.ofKey("customer/1", 250))
      yield* world.start({ sinks: [sink.sink], batchSize: 20 })
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
      const sizes = sink.calls().map(({ length }) => length)
      expect(Math.max(...sizes)).toBe(20)
      expect(Math.min(...sizes)).toBeGreaterThan(0)
    })
  )

  it.scoped("keeps to the batch size when a key with many waiting messages is due", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* sink.refuse(() => ({ reason: "Busy", error: "later", retryable: true }))
      yield* world.start({ sinks: [sink.sink], batchSize: 20 })
      yield* world.commit(...MessageFixture.ofKey("customer/1", 250))
      yield* RelayWorld.settle
      yield* sink.refuse()
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
      expect(Math.max(...sink.calls().map(({ length }) => length))).toBe(20)
    })
  )

  it.scoped("makes its sinks known", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      yield* world.start({ sinks: [recording("one").sink, recording("two", []).sink] })
      expect(yield* world.admin.sinks).toEqual([
        { name: "one", topics: [MessageFixture.topic.name], isMirror: false },
        { name: "two", topics: [], isMirror: false }
      ])
    })
  )

  it.effect("refuses to be made without sinks, with two of one name, or with a name that is none", () =>
    Effect.gen(function* () {
      const { store } = yield* OutboxMemory.make()
      for (const names of [[], ["one", "one"], ["*"], ["a sink"]]) {
        const make = Relay.make({ sinks: names.map((name) => recording(name).sink) })
        const exit = yield* Effect.exit(Effect.provideService(make, OutboxStore, store))
        expect(exit._tag).toBe("Failure")
      }
    })
  )

  it.scoped("delivers once what comes through both the feed and a pass", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      // The feed is open, and the last pass has not read yet.
      const [early, late] = [MessageFixture.make({ sequence: 1 }), MessageFixture.make({ sequence: 2 })]
      let reads = 0
      yield* world.faulty.before(
        "readReady",
        Effect.suspend(() => (++reads === 2 ? Effect.orDie(world.commit(early, late)) : Effect.void))
      )
      yield* world.start({ sinks: [sink.sink] })
      yield* world.drained
      yield* RelayWorld.advance("2 minutes")
      expect(world.check(sink)).toEqual(sound)
      expect(sink.received()).toHaveLength(2)
    })
  )

  it.scoped("delivers once what comes through both, also when another sink left it behind meanwhile", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [one, two] = [recording("one"), recording("two")]
      const [bad, next] = MessageFixture.ofKey("customer/1", 2) as [Message.Message, Message.Message]
      yield* two.refuse((message) =>
        message.id === bad.id ? { reason: "Bad", error: "bad", retryable: false } : undefined
      )
      let reads = 0
      yield* world.faulty.before(
        "readReady",
        Effect.suspend(() => (++reads === 2 ? Effect.orDie(world.commit(bad, next)) : Effect.void))
      )
      // The feed speaks only when the pass and all that came of it are settled.
      yield* world.faulty.before("feed", RelayWorld.settle)
      yield* world.start({ sinks: [one.sink, two.sink] })
      yield* world.drained
      yield* RelayWorld.advance("2 minutes")
      expect(world.check(one)).toEqual(sound)
      expect(two.calls()).toHaveLength(1)
    })
  )

  it.scoped("does not wait for a sweep to find what committed just before its feed was open", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* world.faulty.before("watch", Effect.orDie(world.commit(MessageFixture.make())))
      yield* world.start({ sinks: [sink.sink] })
      yield* RelayWorld.settle
      expect(sink.received()).toHaveLength(1)
    })
  )

  it.scoped("finds by its sweep what nobody rang for", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* world.faulty.hideFromFeeds(() => true)
      const { relay } = yield* world.start({ sinks: [sink.sink], sweepEvery: "30 seconds" })
      yield* world.commit(MessageFixture.make())
      yield* RelayWorld.advance("25 seconds")
      expect(sink.received()).toEqual([])
      yield* RelayWorld.advance("10 seconds")
      expect(sink.received()).toHaveLength(1)
      expect((yield* relay.status).mode).toBe("live")
    })
  )

  it.scoped("sweeps rarely: an idle relay reads the collection once per sweep", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      yield* world.start({ sinks: [recording("one").sink], sweepEvery: "30 seconds" })
      const before = world.faulty.calls("readReady")
      yield* RelayWorld.advance("5 minutes")
      const sweeps = world.faulty.calls("readReady") - before
      expect(sweeps).toBeGreaterThanOrEqual(8)
      expect(sweeps).toBeLessThanOrEqual(10)
    })
  )

  it.scoped("can run again after it was stopped with messages on their way", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* sink.breakWith(RecordingSink.hang)
      const { fiber, relay } = yield* world.start({ sinks: [sink.sink] })
      yield* world.commit(...MessageFixture.ofKey("customer/1", 5))
      yield* RelayWorld.settle
      yield* world.stop(fiber)
      yield* sink.mend
      const again = yield* Effect.fork(relay.run)
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
      yield* world.stop(again)
    })
  )
})

describe("a relay under concurrent writers, with sinks and store failing", () => {
  const writers = 6
  const writesEach = 15

  const write = (world: Effect.Effect.Success<typeof RelayWorld.make>, writer: number) =>
    Effect.gen(function* () {
      for (let write = 0; write < writesEach; write++) {
        const key = `customer/${yield* Random.nextIntBetween(0, 4)}`
        const draft = Message.fromText(MessageFixture.topic, key, `{"revision":${write}}`)
        const message = yield* world.transact(
          Effect.gen(function* () {
            const first = yield* world.store.reserveSequences(new Map([[key, 1]]))
            const placed = Message.place(draft, {
              sequence: first.get(key) ?? 0,
              ordinal: 0,
              createdAt: writer
            })
            yield* world.store.append([placed])
            return placed
          })
        )
        world.committed.push(message)
        yield* Effect.sleep(yield* Random.nextIntBetween(0, 40))
      }
    })

  /** Something goes wrong, somewhere. */
  const trouble = (world: Effect.Effect.Success<typeof RelayWorld.make>, sink: RecordingSink.RecordingSink) =>
    Effect.gen(function* () {
      const faults = [
        sink.failNext(RecordingSink.fail("Unavailable"), 2),
        sink.failNext(RecordingSink.fail("NotReady"), 2),
        sink.failNext(RecordingSink.fail("Failed")),
        sink.failNext(RecordingSink.loseReply("Timeout")),
        sink.failNext(RecordingSink.die()),
        sink.failNext(RecordingSink.interrupt),
        sink.failNext(RecordingSink.hang),
        sink.refuse((message) =>
          message.sequence % 5 === 0 ? { reason: "Busy", error: "later", retryable: true } : undefined
        ),
        sink.refuse(),
        world.faulty.loseFeeds,
        world.faulty.failNext("confirm", "Unavailable", { times: 2 }),
        world.faulty.failNext("confirm", "Unavailable", { lostReply: true }),
        world.faulty.failNext("cursor", "ReadLost"),
        world.faulty.failNext("readReady", "Unavailable", { times: 3 }),
        world.faulty.failNext("watch", "Unavailable", { times: 2 })
      ]
      for (let event = 0; event < 20; event++) {
        yield* faults[yield* Random.nextIntBetween(0, faults.length)] ?? Effect.void
        yield* Effect.sleep(yield* Random.nextIntBetween(0, 60))
      }
      yield* sink.refuse()
      yield* sink.mend
    })

  it.scoped.each(rounds)("loses nothing and keeps every key in order (round %i)", (round) =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [troubled, calm] = [recording("troubled"), recording("calm")]
      const { fiber } = yield* world.start({
        sinks: [troubled.sink, calm.sink],
        maxInFlight: 30,
        batchSize: 7,
        sinkTimeout: "1 second",
        sweepEvery: "1 second"
      })
      const working = [
        ...Array.from({ length: writers }, (_, writer) => write(world, writer)),
        trouble(world, troubled)
      ]
      const work = yield* Effect.fork(Effect.all(working, { concurrency: "unbounded", discard: true }))
      let done = false
      work.addObserver(() => void (done = true))
      yield* RelayWorld.eventually("the writers are done", () => done)
      yield* Fiber.join(work)
      yield* world.drained
      expect(world.committed).toHaveLength(writers * writesEach)
      expect(world.check(calm)).toMatchObject({ ...sound, duplicates: 0 })
      expect(world.check(troubled)).toMatchObject({
        lost: [],
        disordered: [],
        neverCommitted: [],
        altered: []
      })
      expect((yield* world.stats).dead).toBe(0)
      yield* world.stop(fiber)
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0, dead: 0, oldestCreatedAt: undefined })
    }).pipe(Effect.withRandom(Random.make(round)))
  )
})
