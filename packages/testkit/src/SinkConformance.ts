import { Key, type Message, type Sink, type Topic } from "@twinbox/outbox"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as MessageFixture from "./MessageFixture.ts"

/** What a sink holds of one key. `payload` is JSON text. */
export interface State {
  readonly sequence: number
  readonly payload: string
}

/** A sink that holds nothing yet, and a way to look at what it holds. */
export interface SinkHarness {
  readonly sink: Sink.Sink
  readonly topic: Pick<Topic.Any, "name" | "schemaVersion">
  /** The state of a key; undefined when it is not there or deleted. */
  readonly read: (key: Key.Key) => Effect.Effect<State | undefined, unknown>
  /** Makes the sink refuse messages of this key, and of no other. */
  readonly breakKey?: (key: Key.Key) => Effect.Effect<void, unknown>
  /** JSON text of a payload that fits the topic. Default: an object with the number as `revision`. */
  readonly payload?: (revision: number) => string
}

type Define = (name: string, test: (given: Fixture) => Effect.Effect<void, unknown, Scope.Scope>) => void

const keyOf = (id: number | string) => Key.make("customer", String(id))

const fixtureOf = (harness: SinkHarness) => {
  const payloadOf = harness.payload ?? ((revision: number) => JSON.stringify({ revision }))
  const common = {
    topic: harness.topic.name,
    headers: { "schema-version": String(harness.topic.schemaVersion) }
  }
  return {
    harness,
    update: (id: number | string, sequence: number) =>
      MessageFixture.make({ ...common, key: keyOf(id), sequence, payload: payloadOf(sequence) }),
    remove: (id: number | string, sequence: number) =>
      MessageFixture.make({ ...common, key: keyOf(id), sequence, payload: null }),
    /** Delivers a batch that nothing is wrong with. */
    deliver: (...batch: ReadonlyArray<Message.Message>) =>
      Effect.map(harness.sink.deliver(batch), (rejections) => expect(rejections).toEqual([])),
    expectState: (id: number | string, sequence: number) =>
      Effect.map(harness.read(keyOf(id)), (state) => {
        expect(state?.sequence).toBe(sequence)
        expect(JSON.parse(state?.payload ?? "null")).toEqual(JSON.parse(payloadOf(sequence)))
      }),
    expectNothing: (id: number | string) =>
      Effect.map(harness.read(keyOf(id)), (state) => expect(state).toBeUndefined())
  }
}

type Fixture = ReturnType<typeof fixtureOf>

const states = (test: Define) => {
  test("holds nothing of a key it was never sent", ({ expectNothing }) => expectNothing(1))

  test("takes an empty batch", ({ deliver }) => deliver())

  test("shows the last state of a key", ({ deliver, expectState, update }) =>
    Effect.gen(function* () {
      yield* deliver(update(1, 1))
      yield* expectState(1, 1)
      yield* deliver(update(1, 2))
      yield* deliver(update(1, 10))
      yield* expectState(1, 10)
    }))

  test("keeps keys apart", ({ deliver, expectNothing, expectState, update }) =>
    Effect.gen(function* () {
      yield* deliver(update("a", 1), update("a/b", 2), update("ä 😀", 3))
      yield* expectState("a", 1)
      yield* expectState("a/b", 2)
      yield* expectState("ä 😀", 3)
      yield* expectNothing("b")
    }))

  test("takes many messages of one key in one batch", ({ deliver, expectState, update }) =>
    Effect.gen(function* () {
      yield* deliver(...Array.from({ length: 200 }, (_, at) => update(1, at + 1)))
      yield* expectState(1, 200)
    }))

  test("takes a big batch of many keys", ({ deliver, expectState, remove, update }) =>
    Effect.gen(function* () {
      const ids = Array.from({ length: 1_000 }, (_, id) => id)
      yield* deliver(...ids.map((id) => update(id, 1)), ...ids.map((id) => update(id, 2)), remove("gone", 1))
      for (const id of [0, 1, 499, 998, 999]) yield* expectState(id, 2)
    }))
}

const repeats = (test: Define) => {
  test("takes the same message again without harm", ({ deliver, expectState, update }) =>
    Effect.gen(function* () {
      const [first, second] = [update(1, 1), update(1, 2)]
      yield* deliver(first, second)
      yield* deliver(second)
      yield* deliver(first, second)
      yield* deliver(first, first)
      yield* expectState(1, 2)
    }))

  test("lets an older message after a newer one change nothing", ({ deliver, expectState, update }) =>
    Effect.gen(function* () {
      yield* deliver(update(1, 10))
      yield* deliver(update(1, 9))
      yield* deliver(update(1, 2), update(2, 1))
      yield* expectState(1, 10)
      yield* expectState(2, 1)
    }))
}

const deletions = (test: Define) => {
  test("deletes", ({ deliver, expectNothing, expectState, remove, update }) =>
    Effect.gen(function* () {
      yield* deliver(update(1, 1), update(2, 1))
      yield* deliver(remove(1, 2))
      yield* expectNothing(1)
      yield* expectState(2, 1)
    }))

  test("deletes within a batch, and what it never had", ({ deliver, expectNothing, remove, update }) =>
    Effect.gen(function* () {
      yield* deliver(update(1, 1), remove(1, 2), remove(2, 5))
      yield* expectNothing(1)
      yield* expectNothing(2)
    }))

  test("keeps what is deleted deleted when older messages come again", (given) =>
    Effect.gen(function* () {
      const [first, second] = [given.update(1, 1), given.remove(1, 2)]
      yield* given.deliver(first, second)
      yield* given.deliver(first)
      yield* given.expectNothing(1)
      yield* given.deliver(first, second)
      yield* given.expectNothing(1)
    }))

  test("lets an old delete after a newer message change nothing", ({
    deliver,
    expectState,
    remove,
    update
  }) =>
    Effect.gen(function* () {
      yield* deliver(update(1, 1), remove(1, 2), update(1, 3))
      yield* expectState(1, 3)
      yield* deliver(remove(1, 2))
      yield* expectState(1, 3)
    }))
}

const refusals = (test: Define) => {
  test("names what it refuses and takes the rest of the batch", (given) =>
    Effect.gen(function* () {
      const { breakKey, sink } = given.harness
      if (breakKey === undefined) return
      yield* breakKey(keyOf("broken"))
      const refused = given.update("broken", 1)
      const rejections = yield* sink.deliver([given.update(1, 1), refused, given.update(2, 1)])
      expect(rejections.map(({ messageId }) => messageId)).toEqual([refused.id])
      expect(rejections[0]?.reason).not.toBe("")
      expect(rejections[0]?.error).not.toContain(refused.payload)
      yield* given.expectState(1, 1)
      yield* given.expectState(2, 1)
    }))

  test("names the first of a key that it refuses when several of it come at once", (given) =>
    Effect.gen(function* () {
      const { breakKey, sink } = given.harness
      if (breakKey === undefined) return
      yield* breakKey(keyOf("broken"))
      const [first, second] = [given.update("broken", 1), given.update("broken", 2)]
      const rejections = yield* sink.deliver([first, second])
      expect(rejections.map(({ messageId }) => messageId)).toContain(first.id)
    }))
}

/**
 * Registers tests of what the `Sink` contract promises, for sinks that hold the last state of each key.
 *
 * @param harness makes an empty sink; it is run anew for each test, in the test's scope
 */
export const suite = (name: string, harness: Effect.Effect<SinkHarness, unknown, Scope.Scope>): void => {
  const test: Define = (title, body) =>
    it.scopedLive(title, () => Effect.flatMap(harness, (made) => body(fixtureOf(made))))
  describe(`${name} as a sink`, () => {
    states(test)
    repeats(test)
    deletions(test)
    refusals(test)
  })
}
