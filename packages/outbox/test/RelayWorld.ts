import { DeliveryChecker, FaultyStore, type RecordingSink, VirtualClock } from "@twinbox/testkit"
import { Cause, type Context, type Duration, Effect, Fiber, Option } from "effect"
import type { Message } from "../src/Message.ts"
import * as OutboxMemory from "../src/OutboxMemory.ts"
import type { OutboxError } from "../src/OutboxError.ts"
import { OutboxStore } from "../src/OutboxStore.ts"
import * as Relay from "../src/Relay.ts"
import * as Slot from "../src/Slot.ts"

export const settle = VirtualClock.settle

/** Moves the clock of the test on. */
export const advance = (duration: Duration.DurationInput) =>
  Effect.clockWith((clock) =>
    clock instanceof VirtualClock.VirtualClock
      ? clock.advance(duration)
      : Effect.dieMessage("this test has no virtual clock")
  )

/** Moves the clock on, in small steps, until a condition holds. */
export const eventually = (what: string, holds: () => boolean) =>
  Effect.gen(function* () {
    yield* settle
    for (let step = 0; step < 1_200 && !holds(); step++) yield* advance("100 millis")
    if (!holds()) yield* Effect.dieMessage(`after two minutes still not: ${what}`)
  })

type Store = Context.Tag.Service<OutboxStore>

/** A machine that relays run on: once it has crashed, no call of theirs gets through and no reply comes back. */
export interface Machine {
  readonly store: Store
  readonly crash: () => void
  readonly pause: () => void
  readonly resume: () => void
}

/** A machine between a relay and the store. */
export const machine = (inner: Store): Machine => {
  let hasCrashed = false
  const open = Effect.unsafeMakeLatch(true)
  const gate = Effect.suspend(() => (hasCrashed ? Effect.never : open.await))
  const through = <A, E, R>(call: Effect.Effect<A, E, R>) =>
    Effect.zipRight(
      gate,
      Effect.tap(call, () => gate)
    )
  const readable = <R extends { readonly next: Effect.Effect<unknown, unknown> }>(reads: R) => ({
    ...reads,
    next: through(reads.next)
  })
  const store: Store = {
    ...inner,
    join: (...given) => through(inner.join(...given)),
    beat: (...given) => through(inner.beat(...given)),
    expel: (...given) => through(inner.expel(...given)),
    leave: (...given) => through(inner.leave(...given)),
    claim: (...given) => through(inner.claim(...given)),
    release: (...given) => through(inner.release(...given)),
    clearSuspects: (...given) => through(inner.clearSuspects(...given)),
    mark: (...given) => through(inner.mark(...given)),
    watch: (...given) => through(Effect.map(inner.watch(...given), readable)) as ReturnType<Store["watch"]>,
    readReady: (...given) =>
      through(Effect.map(inner.readReady(...given), readable)) as ReturnType<Store["readReady"]>,
    readBehind: (...given) =>
      through(Effect.map(inner.readBehind(...given), readable)) as ReturnType<Store["readBehind"]>,
    confirm: (...given) => through(inner.confirm(...given)),
    settle: (...given) => through(inner.settle(...given)),
    settleBehind: (...given) => through(inner.settleBehind(...given)),
    blockedKeys: (...given) => through(inner.blockedKeys(...given)),
    promote: (...given) => through(inner.promote(...given))
  }
  return {
    store,
    crash: () => void (hasCrashed = true),
    pause: () => open.unsafeClose(),
    resume: () => open.unsafeOpen()
  }
}

/** An outbox in memory behind a store that can be made to fail, with a log of what committed. */
export const make = Effect.gen(function* () {
  yield* Effect.withClockScoped(new VirtualClock.VirtualClock())
  const memory = yield* OutboxMemory.make()
  const faulty = FaultyStore.make(memory.store)
  const committed: Array<Message> = []

  const commit = (...messages: ReadonlyArray<Message>) =>
    Effect.tap(memory.transact(memory.store.append(messages)), () =>
      Effect.sync(() => void committed.push(...messages))
    )

  /** Starts a relay; it stops at the end of the test at the latest. */
  const start = (options: Relay.Options, on: Pick<Machine, "store"> = faulty) =>
    Effect.gen(function* () {
      const relay = yield* Effect.provideService(Relay.make(options), OutboxStore, on.store)
      // Nobody waits at the end of a test for one whose machine has crashed.
      const fiber = yield* Effect.forkDaemon(relay.run)
      yield* Effect.addFinalizer(() => Effect.forkDaemon(Fiber.interrupt(fiber)))
      yield* settle
      return { relay, fiber }
    })

  /** Stops a relay, moving the clock on as long as that takes. */
  const stop = (fiber: Fiber.RuntimeFiber<never, unknown>) =>
    Effect.gen(function* () {
      let ended = false
      fiber.addObserver(() => void (ended = true))
      yield* Fiber.interruptFork(fiber)
      yield* eventually("the relay has stopped", () => ended)
    })

  const stats = memory.store.stats

  const behindOf = (sink: string) =>
    Effect.scoped(Effect.flatMap(memory.store.readBehind({ sink, slots: Slot.all }), (cursor) => cursor.next))

  /** Whether nothing waits for a relay; what waits for a person does not count. */
  const isDrained = Effect.gen(function* () {
    const { ready, sinks } = yield* stats
    for (const name of sinks.keys()) if ((yield* behindOf(name)).length > 0) return false
    return ready === 0
  })

  /** Waits until the outbox holds nothing that a relay could deliver. */
  const drained = eventually("the outbox is drained", () => Effect.runSync(isDrained))

  const check = (recording: RecordingSink.RecordingSink, owed: ReadonlyArray<string> = []) =>
    DeliveryChecker.check({ committed, received: recording.received(), owed })

  return { ...memory, behindOf, check, commit, committed, drained, faulty, start, stats, stop }
})

/** Whether a fiber runs. */
export const runs = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) => Effect.map(Fiber.poll(fiber), Option.isNone)

/** The reason a relay has failed for; undefined while it runs. */
export const failureOf = (fiber: Fiber.RuntimeFiber<never, OutboxError>) =>
  Effect.map(Fiber.poll(fiber), (exit) =>
    Option.isSome(exit) && exit.value._tag === "Failure"
      ? Option.getOrUndefined(Cause.failureOption(exit.value.cause))?.reason
      : undefined
  )
