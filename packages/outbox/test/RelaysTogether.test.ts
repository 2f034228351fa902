import { describe, expect, it } from "@effect/vitest"
import { MessageFixture, RecordingSink } from "@twinbox/testkit"
import { Effect, Schema } from "effect"
import type { Message } from "../src/Message.ts"
import type * as Relay from "../src/Relay.ts"
import type { Sink } from "../src/Sink.ts"
import * as Slot from "../src/Slot.ts"
import * as Topic from "../src/Topic.ts"
import * as RelayWorld from "./RelayWorld.ts"

type World = Effect.Effect.Success<typeof RelayWorld.make>

const recording = (name: string) => RecordingSink.make({ name, topics: [MessageFixture.topic] })
const sound = { lost: [], disordered: [], neverCommitted: [], altered: [], duplicates: 0 }

const lease = "6 seconds"
const twoBeats = "4 seconds"

/** Commits messages of many keys until it is interrupted, a few every 20 milliseconds. */
const load = (world: World) =>
  Effect.gen(function* () {
    const sequences = new Map<string, number>()
    for (let at = 0; ; at++) {
      const key = `customer/${at % 97}`
      const sequence = (sequences.get(key) ?? 0) + 1
      sequences.set(key, sequence)
      yield* world.commit(MessageFixture.make({ key, sequence, id: `${key}-${sequence}` }))
      if (at % 3 === 0) yield* Effect.sleep("20 millis")
    }
  })

/** Two sinks that record, given to every relay of a test, as one Redis serves several relays. */
const sinks = () => [recording("one"), recording("two")] as const

const slotsOf = (relay: Relay.Relay["Type"]) => Effect.runSync(relay.status).slots

const optionsFor = (given: ReadonlyArray<{ readonly sink: Sink }>): Relay.Options => ({
  sinks: given.map(({ sink }) => sink),
  lease
})

describe("relays of one outbox", () => {
  it.scoped(
    "share its slots within two heartbeats, under load: nothing twice, nothing lost, all in order",
    () =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const [one, two] = sinks()
        const options = optionsFor([one, two])
        const first = yield* world.start(options)
        const loading = yield* Effect.fork(load(world))
        yield* RelayWorld.advance("3 seconds")
        const second = yield* world.start(options)
        const third = yield* world.start(options)
        yield* RelayWorld.advance(twoBeats)
        const owned = [first, second, third].map(({ relay }) => slotsOf(relay))
        expect(owned.reduce((sum, slots) => sum + slots, 0)).toBe(Slot.count)
        expect(Math.min(...owned)).toBe(85)

        yield* world.stop(second.fiber)
        yield* world.stop(first.fiber)
        yield* RelayWorld.advance(twoBeats)
        expect(slotsOf(third.relay)).toBe(Slot.count)
        yield* loading.interruptAsFork(loading.id())
        yield* world.drained
        expect(world.committed.length).toBeGreaterThan(1_000)
        for (const sink of [one, two]) expect(world.check(sink)).toEqual(sound)
      })
  )

  it.scoped("take over from one that crashed within two lease times, and lose nothing", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [one, two] = sinks()
      const doomed = RelayWorld.machine(world.store)
      const first = yield* world.start(optionsFor([one, two]), doomed)
      const second = yield* world.start(optionsFor([one, two]))
      const loading = yield* Effect.fork(load(world))
      yield* RelayWorld.advance("5 seconds")
      expect([slotsOf(first.relay), slotsOf(second.relay)]).toEqual([128, 128])
      doomed.crash()
      yield* RelayWorld.advance("12 seconds")
      expect(slotsOf(second.relay)).toBe(Slot.count)
      yield* loading.interruptAsFork(loading.id())
      yield* world.drained
      for (const sink of [one, two]) {
        expect(world.check(sink)).toMatchObject({ ...sound, duplicates: expect.any(Number) as number })
      }
    })
  )

  it.scoped(
    "know what was taken from them: one that was paused past its lease calls no sink, and joins again",
    () =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const sink = recording("one")
        const sleepy = RelayWorld.machine(world.store)
        const first = yield* world.start(optionsFor([sink]), sleepy)
        const second = yield* world.start(optionsFor([sink]))
        yield* RelayWorld.advance("5 seconds")
        sleepy.pause()
        yield* RelayWorld.advance("20 seconds")
        yield* world.commit(
          ...Array.from({ length: 50 }, (_, at) => MessageFixture.make({ key: `customer/${at}` }))
        )
        yield* world.drained
        expect(slotsOf(second.relay)).toBe(Slot.count)
        expect(world.check(sink)).toEqual(sound)
        sleepy.resume()
        yield* RelayWorld.eventually("it is back", () => slotsOf(first.relay) === 128)
        yield* RelayWorld.advance(twoBeats)
        expect(slotsOf(second.relay)).toBe(128)
        const names = (yield* world.admin.status).members.map(({ owner }) => owner)
        expect(names.filter((owner) => owner.endsWith(":2"))).toHaveLength(1)
      })
  )

  it.scoped("leave behind what a sink that they do not have wants; who has it catches up in order", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [one, two] = sinks()
      const both = yield* world.start(optionsFor([one, two]))
      yield* world.stop(both.fiber)
      const without = yield* world.start(optionsFor([one]))
      yield* world.commit(...MessageFixture.ofKey("customer/1", 30))
      yield* RelayWorld.advance("1 second")
      expect([one.received().length, two.received().length]).toEqual([30, 0])
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 30 })
      yield* world.stop(without.fiber)
      yield* world.start(optionsFor([one, two]))
      yield* world.commit(MessageFixture.make({ key: "customer/1", sequence: 31 }))
      yield* world.drained
      for (const sink of [one, two]) expect(world.check(sink)).toEqual(sound)
    })
  )
})

describe("two versions of one program", () => {
  const newTopic = Topic.anonymized("customer-notes", Schema.Unknown)

  it.scoped("lose nothing of a topic that a sink has in the newer one only, whichever starts last", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [older, newer] = [
        recording("mirror"),
        RecordingSink.make({ name: "mirror", topics: [MessageFixture.topic, newTopic] })
      ]
      const first = yield* world.start(optionsFor([newer]))
      yield* world.stop(first.fiber)
      const second = yield* world.start(optionsFor([older]))
      yield* world.commit(MessageFixture.make({ topic: newTopic.name, key: "note/1" }))
      yield* RelayWorld.advance("1 minute")
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 1 })
      yield* world.stop(second.fiber)
      yield* world.start(optionsFor([newer]))
      yield* world.drained
      expect(newer.received().map(({ topic }) => topic)).toEqual([newTopic.name])
    })
  )
})

describe("a dead letter that is requeued", () => {
  it.scoped("arrives within a heartbeat, before what waited behind it", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [strict, easy] = sinks()
      const [first, ...rest] = MessageFixture.ofKey("customer/1", 10) as [Message, ...Array<Message>]
      yield* strict.refuse(({ id }) =>
        id === first.id ? { reason: "Bad", error: "bad", retryable: false } : undefined
      )
      yield* world.start(optionsFor([strict, easy]))
      yield* world.commit(first, ...rest)
      yield* RelayWorld.advance("10 seconds")
      expect([strict.received().length, easy.received().length]).toEqual([0, 10])
      yield* strict.refuse()
      expect(yield* world.admin.requeue({})).toMatchObject({ requeued: 1 })
      yield* RelayWorld.advance("3 seconds")
      expect(world.check(strict)).toEqual(sound)
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0, dead: 0 })
    })
  )

  it.scoped("or discarded lets its key go on without it", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("strict")
      const [first, ...rest] = MessageFixture.ofKey("customer/1", 5) as [Message, ...Array<Message>]
      yield* sink.refuse(({ id }) =>
        id === first.id ? { reason: "Bad", error: "bad", retryable: false } : undefined
      )
      yield* world.start(optionsFor([sink]))
      yield* world.commit(first, ...rest)
      yield* RelayWorld.advance("3 seconds")
      expect(yield* world.admin.discard({ key: "customer/1" })).toBe(1)
      yield* RelayWorld.advance("3 seconds")
      expect(world.check(sink, [first.id])).toEqual(sound)
    })
  )
})

describe("a sink", () => {
  it.scoped("is never given a topic that it does not take: it stays behind for who does", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const foreign = MessageFixture.make({ topic: "customer-originals", key: "customer/2" })
      yield* world.commit(MessageFixture.make(), foreign)
      const states = yield* Effect.zipRight(
        world.store.join("somebody", 1_000),
        world.store.claim("somebody", [foreign.slot])
      )
      const epochs = new Map(states.map(({ epoch, slot }) => [slot, epoch]))
      yield* world.store.settle({ owner: "somebody", epochs }, [
        { messageId: foreign.id, slot: foreign.slot, behind: ["one"], dead: [] }
      ])
      yield* world.store.release({ owner: "somebody", epochs })
      yield* world.store.leave("somebody")
      yield* world.start(optionsFor([sink]))
      yield* RelayWorld.advance("2 minutes")
      expect(sink.received().map(({ topic }) => topic)).toEqual([MessageFixture.topic.name])
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 1 })
    })
  )

  it.scoped("that asks to slow down is left alone for so long, and counts as healthy", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [busy, other] = sinks()
      yield* busy.failNext({ _tag: "Fail", reason: "Throttled", retryAfterMillis: 20_000 })
      const { relay } = yield* world.start(optionsFor([busy, other]))
      yield* world.commit(...MessageFixture.ofKey("customer/1", 5))
      yield* RelayWorld.advance("19 seconds")
      expect([busy.calls().length, other.received().length]).toEqual([1, 5])
      expect((yield* relay.status).sinks[0]?.state).toBe("flowing")
      yield* RelayWorld.advance("2 seconds")
      expect(world.check(busy)).toEqual(sound)
      expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0 })
    })
  )

  it.scoped("may be called for several keys at once, each key in order", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      yield* sink.slow("1 second")
      yield* world.start({ ...optionsFor([sink]), lanes: { one: { concurrency: 8, batchSize: 1 } } })
      const keys = Array.from({ length: 40 }, (_, at) => MessageFixture.ofKey(`customer/${at}`, 3))
      yield* world.commit(...keys.flat())
      yield* RelayWorld.advance("4 seconds")
      expect(sink.calls().length).toBeGreaterThan(16)
      yield* world.drained
      expect(world.check(sink)).toEqual(sound)
    })
  )

  it.scoped(
    "that hangs over one message gives that one up in the end; all others arrive in the meantime",
    () =>
      Effect.gen(function* () {
        const world = yield* RelayWorld.make
        const sink = recording("one")
        const messages = Array.from({ length: 60 }, (_, at) => MessageFixture.make({ key: `customer/${at}` }))
        const poison = messages[20]?.id ?? ""
        const hanging = {
          ...sink.sink,
          deliver: (batch: ReadonlyArray<Message>) =>
            batch.some(({ id }) => id === poison) ? Effect.never : sink.sink.deliver(batch)
        }
        yield* world.start({
          sinks: [hanging],
          lease,
          sinkTimeout: "1 second",
          retry: { maxAttempts: 3, firstDelayMillis: 100, factor: 1, maxDelayMillis: 100 }
        })
        yield* world.commit(...messages)
        yield* RelayWorld.advance("15 seconds")
        expect(world.check(sink, [poison])).toMatchObject({ lost: [], disordered: [] })
        for (let at = 0; at < 5; at++) {
          yield* world.commit(MessageFixture.make({ key: "customer/0", sequence: 2 + at }))
          yield* RelayWorld.advance("10 seconds")
        }
        expect(yield* world.stats).toMatchObject({ ready: 0, behind: 0, dead: 1 })
      })
  )
})

describe("a message whose time has not come", () => {
  it.scoped("is delivered soon after it has, and not before", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = RecordingSink.make({ topics: [MessageFixture.unorderedTopic] })
      yield* world.start(optionsFor([sink]))
      yield* world.commit(
        MessageFixture.make({ topic: MessageFixture.unorderedTopic.name, availableAt: 30_000 })
      )
      yield* RelayWorld.advance("29 seconds")
      expect(sink.received()).toEqual([])
      yield* RelayWorld.advance("4 seconds")
      expect(sink.received()).toHaveLength(1)
      expect(yield* world.stats).toMatchObject({ ready: 0, scheduled: 0 })
    })
  )
})

describe("a message that kills the process", () => {
  it.scoped("is a dead letter in the end, and the only one; everything else arrives in order", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = recording("one")
      const messages = Array.from(
        { length: 100 },
        (_, at) => MessageFixture.ofKey(`customer/${at % 25}`, 4)[Math.floor(at / 25)] as Message
      )
      const poison = messages[30] as Message
      let deaths = 0
      const startOnce = Effect.gen(function* () {
        const doomed = RelayWorld.machine(world.store)
        const killing = {
          ...sink.sink,
          deliver: (batch: ReadonlyArray<Message>) =>
            Effect.suspend(() => {
              if (!batch.some(({ id }) => id === poison.id)) return sink.sink.deliver(batch)
              doomed.crash()
              deaths += 1
              return Effect.never
            })
        }
        yield* world.start({ sinks: [killing], lease, batchSize: 50 }, doomed)
      })
      yield* world.commit(...messages)
      for (let life = 0; life < 12 && (yield* world.stats).dead === 0; life++) {
        yield* startOnce
        yield* RelayWorld.advance("15 seconds")
      }
      expect((yield* world.admin.deadLetters({ filter: {}, limit: 10 })).letters).toMatchObject([
        { messageId: poison.id, reason: "KilledRelay", blocks: true }
      ])
      expect(deaths).toBeLessThan(8)
      const followers = messages.filter(
        ({ key, sequence }) => key === poison.key && sequence > poison.sequence
      )
      yield* RelayWorld.advance("30 seconds")
      expect(
        world.check(
          sink,
          [poison, ...followers].map(({ id }) => id)
        )
      ).toMatchObject({
        lost: [],
        disordered: []
      })
      expect((yield* world.admin.status).suspectSlots).toBe(0)
    })
  )
})
