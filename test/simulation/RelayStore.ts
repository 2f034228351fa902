import { OutboxError, type OutboxStore } from "@twinbox/outbox"
import { type Context, Effect, Scope } from "effect"
import type { Machine } from "./Machine.ts"
import type { Network } from "./Network.ts"

export type Store = Context.Tag.Service<OutboxStore.OutboxStore>

const lost = (reason: "FeedLost" | "ReadLost", operation: string) =>
  new OutboxError.OutboxError({ reason, operation, cause: "injected" })

const cursor = (network: Network, opened: OutboxStore.Cursor): OutboxStore.Cursor => ({
  next: Effect.suspend(() =>
    network.hits("reads", 0.05)
      ? Effect.fail(lost("ReadLost", "cursor"))
      : network.call("cursor", opened.next)
  )
})

/** @param server runs what waits at the store */
const feed = (network: Network, server: Machine, opened: OutboxStore.Feed): OutboxStore.Feed => {
  let isLost = false
  const next = Effect.async<ReadonlyArray<OutboxStore.Stored>, OutboxError.OutboxError>((resume) => {
    const { machine } = network
    isLost ||= network.isCut || network.hits("feeds", 0.02)
    if (isLost)
      return void machine.timeline.after(network.delay(), () =>
        machine.post(() => resume(Effect.fail(lost("FeedLost", "feed"))))
      )
    const waiting = Effect.runFork(Effect.withClock(opened.next, server.clock), { scheduler: server })
    waiting.addObserver(
      (exit) => void machine.timeline.after(network.delay(), () => machine.post(() => resume(exit)))
    )
    return Effect.sync(() => waiting.unsafeInterruptAsFork(waiting.id()))
  })
  return { position: opened.position, next }
}

/** The store as one relay sees it. */
export const make = (inner: Store, network: Network, server: Machine): Store => {
  const within = <A>(
    operation: string,
    open: Effect.Effect<A, OutboxError.OutboxError, Scope.Scope>
  ): Effect.Effect<A, OutboxError.OutboxError, Scope.Scope> =>
    Effect.flatMap(Effect.scope, (scope) => network.call(operation, Scope.extend(open, scope)))
  return {
    append: inner.append,
    reserveSequences: inner.reserveSequences,
    join: (owner, leaseMillis) => network.call("join", inner.join(owner, leaseMillis)),
    beat: (owner, leaving) => network.call("beat", inner.beat(owner, leaving)),
    expel: (member) => network.call("expel", inner.expel(member)),
    leave: (owner) => network.call("leave", inner.leave(owner)),
    claim: (owner, slots) => network.call("claim", inner.claim(owner, slots)),
    release: (lease) => network.call("release", inner.release(lease)),
    clearSuspects: (lease) => network.call("clearSuspects", inner.clearSuspects(lease)),
    mark: (lease, sink, messages, by) => network.call("mark", inner.mark(lease, sink, messages, by)),
    watch: (slots) =>
      Effect.map(within("watch", inner.watch(slots)), (opened) => feed(network, server, opened)),
    readReady: (options) =>
      Effect.map(within("readReady", inner.readReady(options)), (opened) => cursor(network, opened)),
    readBehind: (options) =>
      Effect.map(within("readBehind", inner.readBehind(options)), (opened) => cursor(network, opened)),
    confirm: (messages) => network.call("confirm", inner.confirm(messages)),
    settleBehind: (lease, sink, outcome) =>
      network.call("settleBehind", inner.settleBehind(lease, sink, outcome)),
    settle: (lease, settlements) => network.call("settle", inner.settle(lease, settlements)),
    blockedKeys: (options) => network.call("blockedKeys", inner.blockedKeys(options)),
    registerSinks: (sinks) => network.call("registerSinks", inner.registerSinks(sinks)),
    promote: (slots) => network.call("promote", inner.promote(slots)),
    sweepOrphans: (lease) => network.call("sweepOrphans", inner.sweepOrphans(lease)),
    depth: inner.depth,
    stats: inner.stats
  }
}
