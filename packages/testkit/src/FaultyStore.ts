import { OutboxError, type OutboxStore, type Message } from "@twinbox/outbox"
import { type Context, Deferred, Effect, FiberId } from "effect"

type Store = Context.Tag.Service<OutboxStore.OutboxStore>

/** Operations of the store that can be made to fail. `feed` and `cursor` are the `next` of what they name. */
export type Operation =
  Exclude<keyof Store, "append" | "reserveSequences" | "depth" | "stats"> | "feed" | "cursor"

/** A store that does as it should until it is told to fail; it counts what it is asked to do. */
export interface FaultyStore {
  readonly store: Store
  /** How often an operation was run. */
  readonly calls: (operation: Operation) => number
  readonly openFeeds: () => number
  /** Its next `times` runs fail, after the operation has been done when `lostReply` is set. */
  readonly failNext: (
    operation: Operation,
    reason: OutboxError.OutboxErrorReason,
    options?: { readonly times?: number; readonly lostReply?: boolean }
  ) => Effect.Effect<void>
  /** Every run fails, until `mend`. */
  readonly breakWith: (operation: Operation, reason: OutboxError.OutboxErrorReason) => Effect.Effect<void>
  readonly mend: Effect.Effect<void>
  /** All open feeds fail with `FeedLost`. */
  readonly loseFeeds: Effect.Effect<void>
  /** Feeds leave these messages out, as if nobody had rung. */
  readonly hideFromFeeds: (hides: (message: Message.Message) => boolean) => Effect.Effect<void>
  /** Runs before every run of an operation: to look, to wait, to let something happen just then. */
  readonly before: (operation: Operation, effect: Effect.Effect<void>) => Effect.Effect<void>
}

interface Fault {
  readonly reason: OutboxError.OutboxErrorReason
  readonly lostReply: boolean
}

/** Wraps a store. */
export const make = (inner: Store): FaultyStore => {
  const counts = new Map<Operation, number>()
  const once = new Map<Operation, Array<Fault>>()
  const standing = new Map<Operation, Fault>()
  const hooks = new Map<Operation, Effect.Effect<void>>()
  let lost = Deferred.unsafeMake<never, OutboxError.OutboxError>(FiberId.none)
  let hidden: (message: Message.Message) => boolean = () => false
  let feeds = 0

  const failure = (operation: Operation, reason: OutboxError.OutboxErrorReason) =>
    new OutboxError.OutboxError({ reason, operation, cause: "injected" })

  const faulty = <A, R>(operation: Operation, effect: Effect.Effect<A, OutboxError.OutboxError, R>) =>
    Effect.suspend(() => {
      counts.set(operation, (counts.get(operation) ?? 0) + 1)
      const fault = once.get(operation)?.shift() ?? standing.get(operation)
      const run =
        fault === undefined
          ? effect
          : Effect.zipRight(
              fault.lostReply ? effect : Effect.void,
              Effect.fail(failure(operation, fault.reason))
            )
      return Effect.zipRight(hooks.get(operation) ?? Effect.void, run)
    })

  const cursor = (opened: OutboxStore.Cursor): OutboxStore.Cursor => ({ next: faulty("cursor", opened.next) })

  const isShown = (stored: OutboxStore.Stored) => stored._tag === "Corrupt" || !hidden(stored.message)

  const feed = (opened: OutboxStore.Feed): OutboxStore.Feed => {
    const loss = Deferred.await(lost)
    const shown = Effect.map(opened.next, (batch) => batch.filter(isShown))
    return { position: opened.position, next: faulty("feed", Effect.raceFirst(loss, shown)) }
  }

  const counted = Effect.acquireRelease(
    Effect.sync(() => void (feeds += 1)),
    () => Effect.sync(() => void (feeds -= 1))
  )

  const store: Store = {
    ...inner,
    join: (owner, leaseMillis) => faulty("join", inner.join(owner, leaseMillis)),
    beat: (owner, leaving) => faulty("beat", inner.beat(owner, leaving)),
    expel: (member) => faulty("expel", inner.expel(member)),
    leave: (owner) => faulty("leave", inner.leave(owner)),
    claim: (owner, slots) => faulty("claim", inner.claim(owner, slots)),
    release: (lease) => faulty("release", inner.release(lease)),
    clearSuspects: (lease) => faulty("clearSuspects", inner.clearSuspects(lease)),
    mark: (lease, sink, messages, to) => faulty("mark", inner.mark(lease, sink, messages, to)),
    watch: (slots) => faulty("watch", Effect.zipRight(counted, Effect.map(inner.watch(slots), feed))),
    readReady: (options) => faulty("readReady", Effect.map(inner.readReady(options), cursor)),
    readBehind: (options) => faulty("readBehind", Effect.map(inner.readBehind(options), cursor)),
    confirm: (messages) => faulty("confirm", inner.confirm(messages)),
    settleBehind: (lease, sink, outcome) => faulty("settleBehind", inner.settleBehind(lease, sink, outcome)),
    settle: (lease, settlements) => faulty("settle", inner.settle(lease, settlements)),
    blockedKeys: (options) => faulty("blockedKeys", inner.blockedKeys(options)),
    registerSinks: (sinks) => faulty("registerSinks", inner.registerSinks(sinks)),
    promote: (slots) => faulty("promote", inner.promote(slots)),
    sweepOrphans: (lease) => faulty("sweepOrphans", inner.sweepOrphans(lease))
  }

  return {
    store,
    calls: (operation) => counts.get(operation) ?? 0,
    openFeeds: () => feeds,
    failNext: (operation, reason, { lostReply = false, times = 1 } = {}) =>
      Effect.sync(() => {
        const faults = Array.from({ length: times }, () => ({ reason, lostReply }))
        once.set(operation, [...(once.get(operation) ?? []), ...faults])
      }),
    breakWith: (operation, reason) =>
      Effect.sync(() => void standing.set(operation, { reason, lostReply: false })),
    mend: Effect.sync(() => {
      standing.clear()
      once.clear()
    }),
    loseFeeds: Effect.gen(function* () {
      const before = lost
      lost = yield* Deferred.make<never, OutboxError.OutboxError>()
      yield* Deferred.fail(before, failure("feed", "FeedLost"))
    }),
    hideFromFeeds: (hides) => Effect.sync(() => void (hidden = hides)),
    before: (operation, effect) => Effect.sync(() => void hooks.set(operation, effect))
  }
}
