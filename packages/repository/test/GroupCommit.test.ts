import { describe, expect, it } from "@effect/vitest"
import { MongoError } from "@twinbox/mongodb"
import { Cause, Deferred, Effect, Exit, Fiber, Queue, Scheduler, Scope } from "effect"
import * as GroupCommit from "../src/GroupCommit.ts"
import { VersionConflict } from "../src/RepositoryError.ts"
import { type BatchError, RefusedWrite, type Results } from "../src/WriteBatch.ts"
import * as WriteGroup from "../src/WriteGroup.ts"
import type { Planned, Write } from "../src/WritePlan.ts"

const writeOf = (id: string): Write => ({
  intent: { _tag: "Delete", id, expectedVersion: undefined },
  messageIds: { anonymized: `${id}-1`, original: `${id}-2` }
})

const plannedOf = (id: string): Planned => ({ _tag: "Unchanged", document: { _id: id } })

const done = (ids: ReadonlyArray<string>): Results => ids.map((id) => Exit.succeed(plannedOf(id)))

type Answer = (ids: ReadonlyArray<string>) => Effect.Effect<Results, BatchError>

const succeed: Answer = (ids) => Effect.succeed(done(ids))
const fail =
  (error: BatchError): Answer =>
  () =>
    Effect.fail(error)

const duplicate = new MongoError.DuplicateKey({ collection: "customers", fields: ["_id"], position: 0 })
const refused = (position: number) => new RefusedWrite({ position, error: duplicate })
const unknown = new MongoError.CommitUnknown({ cause: "test" })
const away = new MongoError.Unavailable({ cause: "test" })

/**
 * A group commit over transactions that the test holds in its hands: each reports the ids it got and waits
 * for its answer. One at a time, so that what arrives meanwhile gathers. At the end of the test nobody is
 * held any longer.
 */
const makeHeld = (options: GroupCommit.Options = {}) =>
  Effect.tap(makeHeldForever(options), ({ release }) => Effect.addFinalizer(() => release))

const makeHeldForever = (options: GroupCommit.Options = {}) =>
  Effect.gen(function* () {
    const started = yield* Queue.unbounded<ReadonlyArray<string>>()
    const answers = yield* Queue.unbounded<Answer>()
    const run: WriteGroup.RunBatch = (writes) => {
      const ids = writes.map(({ intent }) => intent.id)
      return Effect.zipRight(
        started.offer(ids),
        Effect.flatMap(answers.take, (answer) => answer(ids))
      )
    }
    const group = yield* GroupCommit.make(WriteGroup.make(run), { concurrency: 1, ...options })
    /** Starts writes in this order, and lets them get as far as they can. */
    const submit = (...ids: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const fibers = yield* Effect.forEach(ids, (id) => Effect.fork(group.submit(writeOf(id), 100)))
        yield* settled
        return fibers as ReadonlyArray<Fiber.RuntimeFiber<Planned, unknown>>
      })
    return {
      group,
      submit,
      release: answers.shutdown,
      /** The ids of the next transaction that starts. */
      next: started.take,
      answer: (...given: ReadonlyArray<Answer>) => answers.offerAll(given),
      /** Transactions that started and that the test has not asked for. */
      unexpected: Effect.map(started.takeAll, (chunk) => [...chunk])
    }
  })

/** Long enough for every fiber that can run to run. */
const settled = Effect.repeatN(Effect.yieldNow(), 20)

const tags = (fibers: ReadonlyArray<Fiber.RuntimeFiber<Planned, unknown>>) =>
  Effect.forEach(fibers, (fiber) =>
    Effect.map(Fiber.await(fiber), (exit) =>
      Exit.match(exit, {
        onSuccess: (planned) => (planned._tag === "Unchanged" ? `saved ${planned.document?._id}` : "written"),
        onFailure: (cause) =>
          Cause.isInterrupted(cause)
            ? "interrupted"
            : String((Cause.squash(cause) as { readonly _tag?: string })._tag)
      })
    )
  )

describe("GroupCommit", () => {
  it.scoped("does not keep a single write waiting for company", () =>
    Effect.gen(function* () {
      const { answer, group, next } = yield* makeHeld()
      yield* answer(succeed)
      expect(yield* group.submit(writeOf("a"), 100)).toEqual(plannedOf("a"))
      expect(yield* next).toEqual(["a"])
    })
  )

  it.scoped("puts what arrives during a transaction into the next one, in order of arrival", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld()
      const first = yield* submit("a")
      expect(yield* next).toEqual(["a"])
      const others = yield* submit("d", "b", "c")
      yield* answer(succeed, succeed)
      expect(yield* next).toEqual(["d", "b", "c"])
      expect(yield* tags([...first, ...others])).toEqual(["saved a", "saved d", "saved b", "saved c"])
    })
  )

  it.scoped("puts those that arrive in the same moment into one transaction", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld()
      const ids = Array.from({ length: 64 }, (_, at) => `id-${at}`)
      yield* answer(succeed)
      yield* submit(...ids)
      expect(yield* next).toEqual(ids)
    })
  )

  it.scoped("takes those along that have one more step to go before they arrive", () =>
    Effect.gen(function* () {
      const { group, next } = yield* makeHeld()
      yield* Effect.fork(group.submit(writeOf("a"), 100))
      yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), group.submit(writeOf("b"), 100)))
      expect(yield* next).toEqual(["a", "b"])
    })
  )

  it.scoped("takes a caller that saves one after another into the very next transaction", () =>
    Effect.gen(function* () {
      const { answer, group, next, submit } = yield* makeHeld()
      yield* Effect.fork(
        Effect.forEach(["first", "second"], (id) => group.submit(writeOf(id), 100), { discard: true })
      )
      expect(yield* next).toEqual(["first"])
      yield* submit("a")
      yield* answer(succeed, succeed)
      expect(yield* next).toEqual(["a", "second"])
    })
  )

  it.scoped("has one write of an id in a group; the later ones go in later groups, in order of arrival", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld()
      yield* submit("hold")
      yield* next
      const fibers = yield* submit("a", "b", "a", "c", "a", "b")
      yield* answer(succeed, succeed, succeed, succeed)
      expect(yield* next).toEqual(["a", "b", "c"])
      expect(yield* next).toEqual(["a", "b"])
      expect(yield* next).toEqual(["a"])
      expect(yield* tags(fibers)).toHaveLength(6)
    })
  )

  it.scoped("does not start a write of an id that a transaction under way has", () =>
    Effect.gen(function* () {
      const { answer, next, submit, unexpected } = yield* makeHeld({ concurrency: 2 })
      yield* submit("a")
      expect(yield* next).toEqual(["a"])
      yield* submit("a", "b")
      expect(yield* next).toEqual(["b"])
      expect(yield* unexpected).toEqual([])
      yield* answer(succeed)
      expect(yield* next).toEqual(["a"])
    })
  )

  it.scoped("rests while nothing of what waits can start, and goes on when it can", () =>
    Effect.gen(function* () {
      let tasks = 0
      const usual = new Scheduler.MixedScheduler(2_048)
      const counting: Scheduler.Scheduler = {
        shouldYield: (fiber) => usual.shouldYield(fiber),
        scheduleTask: (task, priority, fiber) => {
          tasks += 1
          usual.scheduleTask(task, priority, fiber)
        }
      }
      const { answer, next, submit } = yield* Effect.withScheduler(makeHeld({ concurrency: 2 }), counting)
      yield* submit("a")
      yield* next
      yield* submit("a", "a")
      const before = tasks
      yield* settled
      expect(tasks).toBe(before)
      yield* answer(succeed)
      expect(yield* next).toEqual(["a"])
    })
  )

  it.scoped("has at most as many transactions under way as it is told", () =>
    Effect.gen(function* () {
      const { answer, next, submit, unexpected } = yield* makeHeld({ concurrency: 2, maxCount: 1 })
      yield* submit("a", "b", "c")
      expect([yield* next, yield* next]).toEqual([["a"], ["b"]])
      yield* settled
      expect(yield* unexpected).toEqual([])
      yield* answer(succeed)
      expect(yield* next).toEqual(["c"])
    })
  )

  it.scoped("fails the caller alone whose version is stale, or whose function throws", () =>
    Effect.gen(function* () {
      const { answer, next, submit, unexpected } = yield* makeHeld()
      const stale = new VersionConflict({ collection: "customers", id: "b", expected: 1, actual: 2 })
      yield* submit("hold")
      yield* next
      const fibers = yield* submit("a", "b", "c", "d")
      yield* answer(succeed, () =>
        Effect.succeed([
          Exit.succeed(plannedOf("a")),
          Exit.fail(stale),
          Exit.die({ _tag: "Bug" }),
          Exit.succeed(plannedOf("d"))
        ])
      )
      expect(yield* tags(fibers)).toEqual(["saved a", "VersionConflict", "Bug", "saved d"])
      expect(yield* unexpected).toHaveLength(1)
    })
  )

  it.scoped("takes the caller of a duplicate key out and runs the rest again without it", () =>
    Effect.gen(function* () {
      const { answer, next, submit, unexpected } = yield* makeHeld()
      yield* submit("hold")
      yield* next
      const fibers = yield* submit("a", "b", "c", "d")
      yield* answer(succeed, fail(refused(1)), fail(refused(2)), succeed)
      expect(yield* tags(fibers)).toEqual(["saved a", "DuplicateKey", "saved c", "DuplicateKey"])
      expect(yield* unexpected).toEqual([
        ["a", "b", "c", "d"],
        ["a", "c", "d"],
        ["a", "c"]
      ])
    })
  )

  it.scoped("runs nothing again when all of a group are duplicates", () =>
    Effect.gen(function* () {
      const { answer, next, submit, unexpected } = yield* makeHeld()
      const fibers = yield* submit("a")
      yield* next
      yield* answer(fail(refused(0)))
      expect(yield* tags(fibers)).toEqual(["DuplicateKey"])
      expect(yield* unexpected).toEqual([])
    })
  )

  it.scoped.each([
    ["an unknown commit", unknown],
    ["a database that is away", away]
  ] as const)("tells everyone in the group of %s, and runs nothing again", ([, error]) =>
    Effect.gen(function* () {
      const { answer, next, submit, unexpected } = yield* makeHeld()
      yield* submit("hold")
      yield* next
      const fibers = yield* submit("a", "b", "c")
      yield* answer(succeed, fail(error))
      expect(yield* tags(fibers)).toEqual([error._tag, error._tag, error._tag])
      expect(yield* unexpected).toEqual([["a", "b", "c"]])
      const later = yield* submit("a")
      yield* answer(succeed)
      expect(yield* tags(later)).toEqual(["saved a"])
    })
  )

  it.scoped(
    "tells the rest of a group of an unknown commit after a duplicate key, and runs nothing again",
    () =>
      Effect.gen(function* () {
        const { answer, next, submit, unexpected } = yield* makeHeld()
        yield* submit("hold")
        yield* next
        const fibers = yield* submit("a", "b", "c")
        yield* answer(succeed, fail(refused(0)), fail(unknown))
        expect(yield* tags(fibers)).toEqual(["DuplicateKey", "CommitUnknown", "CommitUnknown"])
        expect(yield* unexpected).toHaveLength(2)
      })
  )

  it.scoped.each([
    new MongoError.TransactionTooLarge({ detail: "test" }),
    new MongoError.WriteContention({ attempts: 30 }),
    new MongoError.Refused({ code: 121, codeName: "DocumentValidationFailure", cause: "test" })
  ])("runs each write on its own when the fault may be of one: $_tag", (error) =>
    Effect.gen(function* () {
      const { answer, next, submit, unexpected } = yield* makeHeld()
      yield* submit("hold")
      yield* next
      const fibers = yield* submit("a", "b", "c")
      yield* answer(succeed, fail(error), succeed, fail(error), succeed)
      expect(yield* tags(fibers)).toEqual(["saved a", error._tag, "saved c"])
      expect(yield* unexpected).toEqual([["a", "b", "c"], ["a"], ["b"], ["c"]])
    })
  )

  it.scoped("runs each on its own after a defect, and only whose it is learns of it", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld()
      const bug: Answer = () => Effect.die({ _tag: "Bug" })
      yield* submit("hold")
      yield* next
      const fibers = yield* submit("a", "b")
      yield* answer(succeed, bug, succeed, bug, succeed)
      expect(yield* tags(fibers)).toEqual(["saved a", "Bug"])
      expect(yield* tags(yield* submit("a"))).toEqual(["saved a"])
    })
  )

  it.scoped("withdraws a write that is interrupted before its group starts", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld()
      yield* submit("hold")
      yield* next
      const [a, b] = yield* submit("a", "b")
      yield* Fiber.interrupt(a as Fiber.Fiber<Planned, unknown>)
      yield* answer(succeed, succeed)
      expect(yield* next).toEqual(["b"])
      expect(yield* tags([b as Fiber.RuntimeFiber<Planned, unknown>])).toEqual(["saved b"])
    })
  )

  it.scoped("lets an interruption wait for the outcome once the group has started", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld()
      const [a] = yield* submit("a")
      expect(yield* next).toEqual(["a"])
      const interrupted = yield* Deferred.make<void>()
      yield* Effect.fork(
        Effect.zipRight(
          Fiber.interrupt(a as Fiber.Fiber<Planned, unknown>),
          Deferred.succeed(interrupted, undefined)
        )
      )
      yield* settled
      expect(yield* Deferred.isDone(interrupted)).toBe(false)
      yield* answer(succeed)
      yield* Deferred.await(interrupted)
    })
  )

  it.scoped("goes on after an interruption in a group that fails", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld()
      const [a] = yield* submit("a")
      yield* next
      const interrupting = yield* Effect.fork(Fiber.interrupt(a as Fiber.Fiber<Planned, unknown>))
      yield* settled
      yield* answer(() => Effect.dieMessage("bug"), succeed)
      yield* Fiber.join(interrupting)
      expect(yield* tags(yield* submit("a"))).toEqual(["saved a"])
    })
  )

  it.scoped("bounds a group by count", () =>
    Effect.gen(function* () {
      const { answer, next, submit } = yield* makeHeld({ maxCount: 2 })
      yield* submit("hold")
      yield* next
      yield* submit("a", "b", "c", "d", "e")
      yield* answer(succeed, succeed, succeed)
      expect([yield* next, yield* next, yield* next]).toEqual([["a", "b"], ["c", "d"], ["e"]])
    })
  )

  it.scoped("bounds a group by bytes; a document heavier than that goes alone", () =>
    Effect.gen(function* () {
      const { answer, group, next, submit } = yield* makeHeld({ maxBytes: 250 })
      yield* submit("hold")
      yield* next
      yield* submit("a", "b", "c")
      yield* Effect.fork(group.submit(writeOf("heavy"), 1_000))
      yield* settled
      yield* submit("d")
      yield* answer(succeed, succeed, succeed, succeed)
      expect([yield* next, yield* next, yield* next, yield* next]).toEqual([
        ["a", "b"],
        ["c"],
        ["heavy"],
        ["d"]
      ])
    })
  )

  it.scoped("dies of bounds that would let nothing through", () =>
    Effect.gen(function* () {
      for (const options of [{ maxCount: 0 }, { concurrency: 0 }]) {
        expect(Exit.isFailure(yield* Effect.exit(makeHeld(options)))).toBe(true)
      }
    })
  )

  it.effect("ends when its scope closes: what has started is finished, what waits is interrupted", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { answer, group, next, submit } = yield* Scope.extend(makeHeldForever(), scope)
      const started = yield* submit("a")
      yield* next
      const waiting = yield* submit("a", "b")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settled
      yield* answer(succeed)
      yield* Fiber.join(closing)
      expect(yield* tags([...started, ...waiting])).toEqual(["saved a", "interrupted", "interrupted"])
      const late = yield* Effect.exit(group.submit(writeOf("c"), 100))
      expect(Exit.isInterrupted(late)).toBe(true)
    })
  )

  it.effect("ends with its scope also where it was made in an uninterruptible region", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Effect.uninterruptible(Scope.extend(makeHeld(), scope))
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.scoped("gives everyone an outcome, whatever order things happen in", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 20; round++) {
        const busy = new Set<string>()
        const order = new Map<string, Array<number>>()
        const group = yield* GroupCommit.make(
          WriteGroup.make((writes) =>
            Effect.gen(function* () {
              for (const { intent, messageIds } of writes) {
                expect(busy.has(intent.id)).toBe(false)
                busy.add(intent.id)
                order.set(intent.id, [...(order.get(intent.id) ?? []), Number(messageIds.original)])
              }
              yield* Effect.repeatN(Effect.yieldNow(), (round + writes.length) % 5)
              for (const { intent } of writes) busy.delete(intent.id)
              return done(writes.map(({ intent }) => intent.id))
            })
          ),
          { concurrency: 1 + (round % 3), maxCount: 1 + (round % 7) }
        )
        const count = 200
        const outcomes = yield* Effect.forEach(
          Array.from({ length: count }, (_, at) => at),
          (at) =>
            group.submit(
              { ...writeOf(`id-${at % 13}`), messageIds: { anonymized: "", original: String(at) } },
              100
            ),
          { concurrency: "unbounded" }
        )
        expect(outcomes).toHaveLength(count)
        for (const numbers of order.values()) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
        expect([...order.values()].flat()).toHaveLength(count)
      }
    })
  )
})
