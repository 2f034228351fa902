import { type OutboxAdmin, type OutboxError, type OutboxStore, Slot } from "@twinbox/outbox"
import { type Context, Effect, Scope } from "effect"
import type { Judge } from "./Judge.ts"
import type { Store } from "./RelayStore.ts"
import type { Fault } from "./Scenario.ts"

export type Admin = Context.Tag.Service<OutboxAdmin.OutboxAdmin>

/** A bug, to see that the judge finds it. It is planted between a relay, or people, and the store. */
export interface Bug {
  readonly name: string
  /** What is wrong. */
  readonly what: string
  /** What has to go wrong besides, so that it shows. */
  readonly needs: ReadonlyArray<Fault>
  readonly store?: (inner: Store, judge: Judge) => Store
  readonly admin?: (inner: Admin) => Admin
}

type Cursor = OutboxStore.Cursor
type Stored = OutboxStore.Stored

/** Changes what reads of the collection return. */
const reading = (inner: Store, change: (cursor: Cursor) => Cursor): Store => ({
  ...inner,
  readReady: (options) => Effect.map(inner.readReady(options), change),
  readBehind: (options) => Effect.map(inner.readBehind(options), change)
})

const idOf = (stored: Stored) => (stored._tag === "Message" ? stored.message.id : stored.id)

const byId = (a: Stored, b: Stored) => (idOf(a) < idOf(b) ? -1 : 1)

/** A lease for those of its slots that some owner has now, for each owner. */
const leasesNow = (judge: Judge, slots: Iterable<number>): ReadonlyArray<OutboxStore.Lease> => {
  const leases = new Map<string, Map<number, number>>()
  for (const slot of slots) {
    const held = judge.ownership(slot)
    if (held === undefined) continue
    const epochs = leases.get(held.owner) ?? new Map<number, number>()
    leases.set(held.owner, epochs.set(slot, held.epoch))
  }
  return [...leases].map(([owner, epochs]) => ({ owner, epochs }))
}

const slotsOf = (items: ReadonlyArray<{ readonly slot: number }>) => items.map(({ slot }) => slot)

const within = <A extends { readonly slot: number }>(lease: OutboxStore.Lease, items: ReadonlyArray<A>) =>
  items.filter(({ slot }) => lease.epochs.has(slot))

/** Does a write for whoever has the slots by now. */
const forOwnersNow = (
  judge: Judge,
  slots: Iterable<number>,
  write: (lease: OutboxStore.Lease) => Effect.Effect<void, OutboxError.OutboxError>
) => Effect.forEach(leasesNow(judge, slots), write, { discard: true })

/** An owner sees the slots that it has claimed as its own until it releases them. */
const withoutFence = (inner: Store, judge: Judge): Store => {
  const claimed = new Map<number, OutboxStore.SlotState>()
  return {
    ...inner,
    claim: (owner, slots) =>
      Effect.tap(inner.claim(owner, slots), (states) =>
        Effect.sync(() => states.forEach((state) => claimed.set(state.slot, state)))
      ),
    beat: (owner, leaving) =>
      Effect.map(
        Effect.catchAll(inner.beat(owner, leaving), () =>
          Effect.zipRight(inner.join(owner, 60_000), inner.beat(owner, leaving))
        ),
        (view) => ({
          ...view,
          slots: view.slots.map((state) => ({
            ...(claimed.get(state.slot) ?? state),
            changes: state.changes
          }))
        })
      ),
    release: ({ epochs }) => {
      for (const slot of epochs.keys()) claimed.delete(slot)
      return forOwnersNow(judge, epochs.keys(), inner.release)
    },
    settle: (_, settlements) =>
      forOwnersNow(judge, slotsOf(settlements), (lease) => inner.settle(lease, within(lease, settlements))),
    settleBehind: (_, sink, { confirmed, dead }) =>
      forOwnersNow(judge, slotsOf([...confirmed, ...dead]), (lease) =>
        inner.settleBehind(lease, sink, { confirmed: within(lease, confirmed), dead: within(lease, dead) })
      )
  }
}

const withoutBlocks = (letters: ReadonlyArray<OutboxStore.DeadLetter>) =>
  letters.map((letter) => ({ ...letter, blocks: false }))

export const bugs: ReadonlyArray<Bug> = [
  {
    name: "order-by-id",
    what: "reads go by id instead of sequence",
    needs: ["bursts"],
    store: (inner) =>
      reading(inner, ({ next }) => ({ next: Effect.map(next, (batch) => batch.toSorted(byId)) }))
  },
  {
    name: "no-fence",
    what: "a former owner is not told, and what it writes is accepted",
    needs: ["pauses", "cuts"],
    store: withoutFence
  },
  {
    name: "delete-before-confirm",
    what: "messages are deleted when they are read",
    needs: [],
    store: (inner) => ({
      ...inner,
      readReady: (options) =>
        Effect.map(inner.readReady(options), ({ next }) => ({
          next: Effect.tap(next, (batch) =>
            inner.confirm(batch.flatMap((stored) => (stored._tag === "Message" ? stored.message : [])))
          )
        }))
    })
  },
  {
    name: "behind-forgotten",
    what: "what one sink owes is deleted when the others have it",
    needs: ["sinkAway", "refusals"],
    store: (inner) => ({
      ...inner,
      settle: (lease, settlements) =>
        inner.settle(
          lease,
          settlements.map((settlement) => ({ ...settlement, behind: [] }))
        )
    })
  },
  {
    name: "no-marks",
    what: "nobody marks what comes out of suspect slots",
    needs: ["poison"],
    store: (inner) => ({ ...inner, mark: () => Effect.void })
  },
  {
    name: "parking-forgotten",
    what: "a relay does not learn which keys are blocked",
    needs: ["rejections", "stops", "crashes"],
    store: (inner) => ({ ...inner, blockedKeys: () => Effect.succeed([]) })
  },
  {
    name: "blocked-delivered",
    what: "dead letters do not block their keys",
    needs: ["rejections", "refusals"],
    store: (inner) => ({
      ...inner,
      settle: (lease, settlements) =>
        inner.settle(
          lease,
          settlements.map((settlement) => ({ ...settlement, dead: withoutBlocks(settlement.dead) }))
        ),
      settleBehind: (lease, sink, { confirmed, dead }) =>
        inner.settleBehind(lease, sink, { confirmed, dead: withoutBlocks(dead) })
    })
  },
  {
    name: "join-too-early",
    what: "new messages flow before what is behind has been read to the end",
    needs: ["sinkAway", "refusals", "bursts"],
    store: (inner) => ({
      ...inner,
      readBehind: (options) =>
        Effect.map(inner.readBehind(options), ({ next }) => {
          let reads = 0
          return {
            next: Effect.suspend(() =>
              (reads += 1) === 1 ? Effect.map(next, (batch) => batch.slice(0, 1)) : Effect.succeed([])
            )
          }
        })
    })
  },
  {
    name: "claim-of-the-living",
    what: "a claim takes slots of relays that live",
    needs: ["stops"],
    store: (inner, judge) => ({
      ...inner,
      claim: (owner, slots) => {
        const others = leasesNow(judge, Slot.all).filter((lease) => lease.owner !== owner)
        const taken = others.flatMap(({ epochs }) => [...epochs.keys()])
        return Effect.zipRight(
          Effect.forEach(others, (lease) => inner.release(lease), { discard: true }),
          inner.claim(owner, [...slots, ...taken])
        )
      }
    })
  },
  {
    name: "deadline-ignored",
    what: "others take over before the owner's own deadline",
    needs: ["pauses", "cuts"],
    store: (inner) => ({ ...inner, join: (owner, leaseMillis) => inner.join(owner, leaseMillis / 10) })
  },
  {
    name: "requeue-dropped",
    what: "requeued messages are gone",
    needs: ["rejections"],
    admin: (inner) => ({
      ...inner,
      requeue: (filter) =>
        Effect.map(inner.discard(filter), (requeued) => ({ requeued, superseded: 0, corrupt: 0 }))
    })
  },
  {
    name: "feed-after-pass",
    what: "the feed begins after the last pass over the collection",
    needs: ["feeds"],
    store: (inner) => ({
      ...inner,
      watch: (slots) =>
        Effect.map(Effect.scope, (scope): OutboxStore.Feed => {
          let opened: OutboxStore.Feed | undefined
          const open = Effect.tap(Scope.extend(inner.watch(slots), scope), (feed) =>
            Effect.sync(() => void (opened = feed))
          )
          const feed = Effect.suspend(() => (opened === undefined ? open : Effect.succeed(opened)))
          return { position: { adapter: "memory" }, next: Effect.flatMap(feed, ({ next }) => next) }
        })
    })
  },
  {
    name: "ids-never-forgotten",
    what: "what a process has read once it takes for known for ever",
    needs: ["stops", "pauses", "sinkAway"],
    store: (inner) => {
      const known = new Set<string>()
      const isNew = (stored: Stored) => !known.has(idOf(stored)) && known.add(idOf(stored)).size > 0
      return {
        ...inner,
        readReady: (options) =>
          Effect.map(inner.readReady(options), ({ next }) => ({
            next: Effect.map(next, (batch) => {
              const fresh = batch.filter(isNew)
              // An empty batch would be the end.
              return fresh.length > 0 ? fresh : batch.slice(0, 1)
            })
          }))
      }
    }
  },
  {
    name: "all-sinks-at-once",
    what: "what one sink has counts as delivered to all",
    needs: ["sinkAway", "refusals"],
    store: (inner, judge) => ({
      ...inner,
      settleBehind: (lease, sink, outcome) =>
        Effect.zipRight(
          inner.settleBehind(lease, sink, outcome),
          Effect.forEach(
            judge.sinkNames.filter((name) => name !== sink),
            (name) => inner.settleBehind(lease, name, { confirmed: outcome.confirmed, dead: [] }),
            { discard: true }
          )
        )
    })
  },
  {
    name: "registration-unseen",
    what: "a relay does not see sinks that it does not have",
    needs: ["missingSinks", "stops"],
    store: (inner) => ({
      ...inner,
      beat: (owner, leaving) => Effect.map(inner.beat(owner, leaving), (view) => ({ ...view, sinks: [] }))
    })
  },
  {
    name: "never-promoted",
    what: "scheduled messages stay scheduled",
    needs: ["scheduling"],
    store: (inner) => ({ ...inner, promote: () => Effect.succeed(0) })
  }
]
