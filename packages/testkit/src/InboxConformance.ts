import { type Inbox, type Message, Transaction } from "@twinbox/outbox"
import { describe, expect, it } from "@effect/vitest"
import { Cause, type Context, Deferred, Duration, Effect, Exit, Fiber, Option, type Scope } from "effect"
import * as MessageFixture from "./MessageFixture.ts"
import { reasonOf } from "./StoreHarness.ts"

/** An empty inbox, and what a test needs besides its port. */
export interface InboxHarness {
  readonly inbox: Context.Tag.Service<Inbox.Inbox>
  /** Runs an effect in a transaction of this inbox. */
  readonly transact: <A, E, R>(
    body: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, unknown, Exclude<R, Transaction.Transaction>>
  /** Adds one to a number, as part of the open transaction. */
  readonly increment: Effect.Effect<void, unknown, Transaction.Transaction>
  /** The number that was committed last; 0 at first. */
  readonly total: Effect.Effect<number, unknown>
  /** Lets records age: those expire that had no longer than this to live. */
  readonly age: (duration: Duration.Duration) => Effect.Effect<void, unknown>
}

/** Makes an empty inbox with these options; run anew for each test, in the test's scope. */
export type MakeHarness = (options: Inbox.Options) => Effect.Effect<InboxHarness, unknown, Scope.Scope>

type Define = (
  name: string,
  test: (given: Fixture) => Effect.Effect<void, unknown, Scope.Scope>,
  options?: Inbox.Options
) => void

const key = "customer/1"
const messageAt = (sequence: number, ordinal = 0, of = key) =>
  MessageFixture.make({ key: of, sequence, ordinal })

const guarded: Inbox.Consumer = { name: "guarded" }
const unguarded: Inbox.Consumer = { name: "unguarded", guard: "none" }

const fixtureOf = (harness: InboxHarness) => {
  const { increment, inbox, transact } = harness
  const once = (message: Message.Message, consumer = guarded) => inbox.once(consumer, message, increment)
  return {
    ...harness,
    once,
    /** Applies each in a transaction of its own, and tells what became of it. */
    apply: (messages: ReadonlyArray<Message.Message>, consumer = guarded) =>
      Effect.forEach(messages, (message) =>
        Effect.map(transact(once(message, consumer)), (outcome) => outcome._tag)
      )
  }
}

type Fixture = ReturnType<typeof fixtureOf>

const application = (test: Define) =>
  describe("once", () => {
    test("runs the effect of a new message and returns its value", ({ inbox, total, transact, increment }) =>
      Effect.gen(function* () {
        const effect = Effect.as(increment, "done" as const)
        const outcome = yield* transact(inbox.once(guarded, messageAt(1), effect))
        expect(outcome).toEqual({ _tag: "Applied", value: "done" })
        expect(yield* total).toBe(1)
      }))

    test("does not run the effect of a message that it has applied", ({ apply, total }) =>
      Effect.gen(function* () {
        const message = messageAt(1)
        expect(yield* apply([message, message, message])).toEqual(["Applied", "Duplicate", "Duplicate"])
        expect(yield* apply([message, message], unguarded)).toEqual(["Applied", "Duplicate"])
        expect(yield* total).toBe(2)
      }))

    test("finds a duplicate within one transaction", ({ once, total, transact }) =>
      Effect.gen(function* () {
        for (const consumer of [guarded, unguarded]) {
          const twice = once(messageAt(1), consumer)
          const outcomes = yield* transact(Effect.all([twice, twice]))
          expect(outcomes.map(({ _tag }) => _tag)).toEqual(["Applied", "Duplicate"])
        }
        expect(yield* total).toBe(2)
      }))

    test("knows for each consumer what it has applied", ({ apply, total }) =>
      Effect.gen(function* () {
        const [first, second] = [messageAt(1), messageAt(2)]
        expect(yield* apply([second], { name: "a" })).toEqual(["Applied"])
        expect(yield* apply([first, second], { name: "b" })).toEqual(["Applied", "Applied"])
        expect(yield* apply([first, second], { name: "a-b" })).toEqual(["Applied", "Applied"])
        expect(yield* total).toBe(5)
      }))

    test("lets one of many go through that have the message at once", ({ once, total, transact }) =>
      Effect.gen(function* () {
        for (const consumer of [guarded, unguarded]) {
          const message = messageAt(1)
          const outcomes = yield* Effect.forEach(
            Array.from({ length: 12 }),
            () => transact(once(message, consumer)),
            { concurrency: "unbounded" }
          )
          const tags = outcomes.map(({ _tag }) => _tag)
          expect(tags.toSorted()).toEqual(["Applied", ...Array.from({ length: 11 }, () => "Duplicate")])
        }
        expect(yield* total).toBe(2)
      }))

    test("refuses a transaction of another adapter", ({ inbox }) =>
      Effect.gen(function* () {
        let runs = 0
        const effect = Effect.sync(() => (runs += 1))
        const foreign = Effect.provideService(
          inbox.once(guarded, messageAt(1), effect),
          Transaction.Transaction,
          { adapter: "somebody else" }
        )
        expect(yield* reasonOf(foreign)).toBe("WrongTransaction")
        expect(runs).toBe(0)
      }))

    test("takes a consumer without a proper name for a fault of the program", ({ once, transact, total }) =>
      Effect.gen(function* () {
        for (const name of ["", "a:b", "ä", "x".repeat(65)]) {
          const exit = yield* Effect.exit(transact(once(messageAt(1), { name })))
          expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
        }
        expect(yield* total).toBe(0)
      }))
  })

const failures = (test: Define) =>
  describe("a failure", () => {
    /** After it, the message is as new. */
    const expectNothing = ({ apply, total }: Fixture, message: Message.Message) =>
      Effect.gen(function* () {
        expect(yield* total).toBe(0)
        expect(yield* apply([message])).toEqual(["Applied"])
        expect(yield* total).toBe(1)
      })

    test("of the effect is that of its transaction, and leaves nothing", (given) =>
      Effect.gen(function* () {
        const message = messageAt(1)
        const failing = Effect.zipRight(given.increment, Effect.fail("no" as const))
        const error = yield* Effect.flip(given.transact(given.inbox.once(guarded, message, failing)))
        expect(error).toBe("no")
        yield* expectNothing(given, message)
      }))

    test("of the transaction after the effect leaves nothing", (given) =>
      Effect.gen(function* () {
        const message = messageAt(1)
        yield* Effect.flip(given.transact(Effect.zipRight(given.once(message), Effect.fail("no"))))
        yield* expectNothing(given, message)
      }))

    test("of the effect loses the transaction also when the body goes on", (given) =>
      Effect.gen(function* () {
        const message = messageAt(1)
        const stopped: ReadonlyArray<Effect.Effect<never, unknown>> = [
          Effect.fail("no"),
          Effect.dieMessage("a fault"),
          Effect.interrupt
        ]
        for (const stop of stopped) {
          const effect = Effect.zipRight(given.increment, stop)
          const body = Effect.exit(given.inbox.once(guarded, message, effect))
          const exit = yield* Effect.exit(given.transact(Effect.zipRight(body, given.once(messageAt(2)))))
          expect(Exit.isFailure(exit)).toBe(true)
        }
        yield* expectNothing(given, message)
      }))

    test("by running out of time loses the transaction also when the body goes on", (given) =>
      Effect.gen(function* () {
        const message = messageAt(1)
        const begun = yield* Deferred.make<void>()
        const hanging = given.increment.pipe(
          Effect.zipRight(Deferred.succeed(begun, undefined)),
          Effect.zipRight(Effect.never)
        )
        const body = Effect.raceFirst(
          Effect.asSome(given.inbox.once(guarded, message, hanging)),
          Effect.as(Deferred.await(begun), Option.none())
        )
        const exit = yield* Effect.exit(given.transact(body))
        expect(Exit.isFailure(exit)).toBe(true)
        yield* expectNothing(given, message)
      }))

    test("by interruption of the whole leaves nothing", (given) =>
      Effect.gen(function* () {
        const message = messageAt(1)
        const begun = yield* Deferred.make<void>()
        const hanging = Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)
        const fiber = yield* Effect.fork(given.transact(given.inbox.once(guarded, message, hanging)))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        yield* expectNothing(given, message)
      }))
  })

const guards = (test: Define) =>
  describe("the guard of a key", () => {
    test("keeps out what is older than the newest applied, by sequence and ordinal", ({ apply, total }) =>
      Effect.gen(function* () {
        const places = [messageAt(5, 1), messageAt(4, 9), messageAt(5, 0), messageAt(5, 2), messageAt(6, 0)]
        expect(yield* apply(places)).toEqual(["Applied", "Stale", "Stale", "Applied", "Applied"])
        expect(yield* apply([messageAt(5, 3), messageAt(10)])).toEqual(["Stale", "Applied"])
        expect(yield* total).toBe(4)
      }))

    test("is one for each key and consumer", ({ apply }) =>
      Effect.gen(function* () {
        expect(yield* apply([messageAt(5)])).toEqual(["Applied"])
        expect(yield* apply([messageAt(1, 0, "customer/12"), messageAt(1, 0, "customer/1/2")])).toEqual([
          "Applied",
          "Applied"
        ])
        expect(yield* apply([messageAt(1)], { name: "another" })).toEqual(["Applied"])
      }))

    test("lets several messages of the key through in one transaction, in their order", (given) =>
      Effect.gen(function* () {
        const { once, total, transact } = given
        const messages = [messageAt(1), messageAt(2), messageAt(4), messageAt(3), messageAt(5)]
        const outcomes = yield* transact(Effect.forEach(messages, (message) => once(message)))
        expect(outcomes.map(({ _tag }) => _tag)).toEqual([
          "Applied",
          "Applied",
          "Applied",
          "Stale",
          "Applied"
        ])
        expect(yield* total).toBe(4)
        expect(yield* given.apply([messageAt(4, 1), messageAt(6)])).toEqual(["Stale", "Applied"])
      }))

    test("holds for fibers of one transaction too", ({ apply, once, total, transact }) =>
      Effect.gen(function* () {
        const messages = Array.from({ length: 8 }, (_, at) => messageAt(8 - at))
        const outcomes = yield* transact(
          Effect.forEach(messages, (message) => once(message), { concurrency: "unbounded" })
        )
        const applied = outcomes.flatMap(({ _tag }, at) => (_tag === "Applied" ? [8 - at] : []))
        expect(applied).toContain(8)
        expect(yield* total).toBe(applied.length)
        expect(yield* apply([messageAt(7, 1), messageAt(9)])).toEqual(["Stale", "Applied"])
      }))

    test("never goes back, whoever meets at the key", ({ apply, once, total, transact }) =>
      Effect.gen(function* () {
        const messages = Array.from({ length: 12 }, (_, at) => messageAt(at + 1))
        const outcomes = yield* Effect.forEach(messages, (message) => transact(once(message)), {
          concurrency: 4
        })
        expect(outcomes.every(({ _tag }) => _tag === "Applied" || _tag === "Stale")).toBe(true)
        expect(yield* total).toBe(outcomes.filter(({ _tag }) => _tag === "Applied").length)
        expect(yield* apply([messageAt(11, 1), messageAt(12, 0), messageAt(12, 1)])).toEqual([
          "Stale",
          "Duplicate",
          "Applied"
        ])
      }))

    test("calls an old message a duplicate that was applied", ({ apply }) =>
      Effect.gen(function* () {
        const [first, second] = [messageAt(1), messageAt(2)]
        expect(yield* apply([first, second, first])).toEqual(["Applied", "Applied", "Duplicate"])
      }))

    test("stays where it was when a transaction fails", ({ apply, once, transact }) =>
      Effect.gen(function* () {
        yield* Effect.flip(transact(Effect.zipRight(once(messageAt(9)), Effect.fail("no"))))
        expect(yield* apply([messageAt(1)])).toEqual(["Applied"])
      }))

    test("stands in nobody's way who does without it", ({ apply, total }) =>
      Effect.gen(function* () {
        const messages = [messageAt(5), messageAt(3), messageAt(4)]
        expect(yield* apply(messages, unguarded)).toEqual(["Applied", "Applied", "Applied"])
        expect(yield* apply(messages, unguarded)).toEqual(["Duplicate", "Duplicate", "Duplicate"])
        expect(yield* total).toBe(3)
      }))
  })

const day = Duration.days(1)
const most = Duration.hours(18)

const retention = (test: Define) =>
  describe("what the inbox remembers", () => {
    test(
      "of messages is there as long as it is to be kept, and no longer",
      ({ age, apply }) =>
        Effect.gen(function* () {
          const message = messageAt(1)
          expect(yield* apply([message], unguarded)).toEqual(["Applied"])
          yield* age(most)
          expect(yield* apply([message], unguarded)).toEqual(["Duplicate"])
          yield* age(most)
          expect(yield* apply([message], unguarded)).toEqual(["Applied"])
        }),
      { keepFor: day }
    )

    test("of messages is there for 7 days if nobody says otherwise", ({ age, apply }) =>
      Effect.gen(function* () {
        const message = messageAt(1)
        yield* apply([message], unguarded)
        yield* age(Duration.hours(7 * 24 - 1))
        expect(yield* apply([message], unguarded)).toEqual(["Duplicate"])
        yield* age(Duration.hours(2))
        expect(yield* apply([message], unguarded)).toEqual(["Applied"])
      }))

    test(
      "of keys outlives the ids: nothing old is applied",
      ({ age, apply }) =>
        Effect.gen(function* () {
          const [first, second] = [messageAt(1), messageAt(2)]
          yield* apply([first, second])
          yield* age(Duration.days(1_000))
          expect(yield* apply([first, second, messageAt(3)])).toEqual(["Stale", "Duplicate", "Applied"])
        }),
      { keepFor: day }
    )

    test(
      "of keys goes in its time when it has one, counted from the last message applied",
      ({ age, apply }) =>
        Effect.gen(function* () {
          expect(yield* apply([messageAt(5)])).toEqual(["Applied"])
          yield* age(most)
          expect(yield* apply([messageAt(4), messageAt(6)])).toEqual(["Stale", "Applied"])
          yield* age(most)
          expect(yield* apply([messageAt(4)])).toEqual(["Stale"])
          yield* age(most)
          expect(yield* apply([messageAt(4)])).toEqual(["Applied"])
        }),
      { keepFor: day, keepGuardsFor: day }
    )

    test(
      "never goes when it is to be kept for ever",
      ({ age, apply }) =>
        Effect.gen(function* () {
          const message = messageAt(1)
          yield* apply([message], unguarded)
          yield* age(Duration.days(10_000))
          expect(yield* apply([message], unguarded)).toEqual(["Duplicate"])
        }),
      { keepFor: Duration.infinity }
    )
  })

/** Registers tests of everything the `Inbox` port promises. */
export const suite = (name: string, make: MakeHarness): void => {
  const test: Define = (title, body, options = {}) =>
    it.scopedLive(title, () => Effect.flatMap(make(options), (harness) => body(fixtureOf(harness))))
  describe(`${name} as an inbox`, () => {
    application(test)
    failures(test)
    guards(test)
    retention(test)
  })
}
