import { type Context, Effect } from "effect"
import { OutboxError, type OutboxErrorReason } from "./OutboxError.ts"
import { MemoryFeed } from "./OutboxMemoryFeed.ts"
import {
  byPlace,
  isOwedBy,
  type MemoryState,
  messageOf,
  type Row,
  storedMessage
} from "./OutboxMemoryState.ts"
import * as Stats from "./OutboxMemoryStats.ts"
import { current } from "./OutboxMemoryTransaction.ts"
import {
  type Cursor,
  type Feed,
  type Lease,
  type Member,
  OutboxStore,
  type Position,
  type Settlement,
  type SlotState,
  type Stored,
  type View
} from "./OutboxStore.ts"
import * as Slot from "./Slot.ts"

interface MemoryPosition extends Position {
  readonly commits: number
}

const batchSize = 100

/** Orphans that one sweep finds, at most. */
const maxOrphans = 1_000

const fail = (reason: OutboxErrorReason, operation: string) =>
  Effect.fail(new OutboxError({ reason, operation }))

/** Corrupt records have no place of their own: they come first in their slot. */
const byStoredPlace = (a: Row, b: Row): number =>
  a.stored._tag === "Message" && b.stored._tag === "Message"
    ? byPlace(a.stored.message, b.stored.message)
    : a.slot - b.slot || Number(a.stored._tag === "Message") - Number(b.stored._tag === "Message")

const cursorOver = (rows: ReadonlyArray<Row>): Cursor => {
  const records = rows.toSorted(byStoredPlace).map((row) => row.stored)
  let at = 0
  return {
    next: Effect.sync(() => {
      const batch = records.slice(at, at + batchSize)
      at += batch.length
      return batch
    })
  }
}

type Store = Context.Tag.Service<OutboxStore>

/** Runs a write if the relay is a member and these slots are the lease's, in one step; else `StaleLease`. */
const fenced = <A>(
  state: MemoryState,
  operation: string,
  lease: Lease,
  slots: ReadonlyArray<number>,
  write: () => A
): Effect.Effect<A, OutboxError> =>
  Effect.suspend(() => {
    const member = state.members.get(lease.owner)
    if (member === undefined || !slots.every((slot) => state.owns(lease, slot))) {
      return fail("StaleLease", operation)
    }
    state.members.set(lease.owner, { ...member, writes: member.writes + 1 })
    return Effect.succeed(write())
  })

const slotsOf = (records: ReadonlyArray<{ readonly slot: number }>) => records.map(({ slot }) => slot)

const membership = (state: MemoryState): Pick<Store, "join" | "beat" | "expel" | "leave"> => ({
  join: (owner, leaseMillis) =>
    Effect.suspend(() => {
      const known = state.members.get(owner)
      // A member that has done nothing yet: it joins once more because the reply was lost.
      if (known !== undefined && (known.counter > 1 || known.writes > 0)) return fail("Refused", "join")
      state.members.set(owner, { owner, counter: 1, leaseMillis, leaving: false, writes: 0 })
      return Effect.void
    }),
  beat: (owner, leaving) =>
    Effect.suspend(() => {
      const member = state.members.get(owner)
      if (member === undefined) return fail("StaleLease", "beat")
      state.members.set(owner, { ...member, counter: member.counter + 1, leaving })
      return Effect.succeed(viewOf(state))
    }),
  expel: ({ counter, owner }) =>
    Effect.sync(() => state.members.get(owner)?.counter === counter && state.members.delete(owner)),
  leave: (owner) => Effect.sync(() => void state.members.delete(owner))
})

export const membersOf = (state: MemoryState): ReadonlyArray<Member> =>
  [...state.members.values()].map(({ writes: _, ...member }) => member)

const viewOf = (state: MemoryState): View => ({
  members: membersOf(state),
  slots: [...state.slots],
  sinks: [...state.sinks.values()],
  isDue: state.due().length > 0
})

/** Takes one slot for a member, unless another member has it. */
const take = (state: MemoryState, owner: string, slot: number): ReadonlyArray<SlotState> => {
  const held = state.slots[slot]
  if (held === undefined) return []
  const isOthers = held.owner !== undefined && held.owner !== owner
  if (isOthers && state.members.has(held.owner)) return []
  const taken = { ...held, owner, epoch: held.epoch + 1, suspect: held.suspect || isOthers }
  state.changeSlot(slot, taken)
  return [taken]
}

const leasing = (state: MemoryState): Pick<Store, "claim" | "release" | "clearSuspects" | "mark"> => ({
  claim: (owner, slots) =>
    fenced(state, "claim", { owner, epochs: new Map() }, [], () =>
      [...new Set(slots)].flatMap((slot) => take(state, owner, slot))
    ),
  release: (lease) =>
    fenced(state, "release", lease, [], () => {
      for (const slot of state.ownedBy(lease)) state.changeSlot(slot, { owner: undefined })
    }),
  clearSuspects: (lease) =>
    fenced(state, "clearSuspects", lease, [], () => {
      for (const slot of state.ownedBy(lease)) state.changeSlot(slot, { suspect: false })
    }),
  mark: (lease, sink, messages, to) =>
    fenced(state, "mark", lease, slotsOf(messages), () => {
      for (const { id } of messages) {
        const row = state.rows.get(id)
        if (row?.stored._tag !== "Message") continue
        const { history, marks, message } = row.stored
        const changed = { ...marks, [sink]: to }
        state.put({ ...row, stored: storedMessage(message, changed, history) })
      }
    })
})

const reading = (
  state: MemoryState,
  feeds: Set<MemoryFeed>
): Pick<Store, "watch" | "readReady" | "readBehind" | "blockedKeys"> => ({
  watch: (slots) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          const feed = new MemoryFeed(slots)
          feeds.add(feed)
          return { feed, position: { adapter: "memory", commits: state.commits } satisfies MemoryPosition }
        }),
        ({ feed }) => Effect.sync(() => feeds.delete(feed))
      ),
      ({ feed, position }): Feed => ({ position, next: feed.next })
    ),
  readReady: ({ slots }) =>
    Effect.sync(() => cursorOver(state.rows.inSlots(slots).filter((row) => row.state === "ready"))),
  readBehind: ({ sink, slots, without = [] }) =>
    Effect.sync(() => {
      const left = new Set([...without, ...state.blockedKeys(sink, slots)])
      const rows = state.rows.inSlots(slots)
      return cursorOver(rows.filter((row) => isOwedBy(row, sink) && !left.has(messageOf(row)?.key ?? "")))
    }),
  blockedKeys: ({ sink, slots }) => Effect.sync(() => [...state.blockedKeys(sink, slots)])
})

const settleOne = (state: MemoryState, { behind, dead, messageId }: Settlement): void => {
  const row = state.rows.get(messageId)
  if (row === undefined) return
  for (const letter of dead) state.bury(row, letter)
  if (behind.length > 0) state.put({ ...row, state: "behind", behind })
  else state.pull(row, () => true, dead.length === 0)
}

const settling = (state: MemoryState): Pick<Store, "confirm" | "settle" | "settleBehind"> => ({
  confirm: (messages) =>
    Effect.sync(() => {
      for (const message of messages) {
        if (state.rows.get(message.id)?.state !== "ready") continue
        state.remove(message.id)
        state.keep(message)
      }
    }),
  settle: (lease, settlements) =>
    fenced(state, "settle", lease, slotsOf(settlements), () => {
      for (const settlement of settlements) settleOne(state, settlement)
    }),
  settleBehind: (lease, sink, { confirmed, dead }) =>
    fenced(state, "settleBehind", lease, slotsOf([...confirmed, ...dead]), () => {
      for (const { id } of confirmed) {
        const row = state.rows.get(id)
        if (row !== undefined && isOwedBy(row, sink)) state.pull(row, (name) => name === sink, true)
      }
      for (const letter of dead) {
        const row = state.rows.get(letter.messageId)
        if (row === undefined || !isOwedBy(row, sink)) continue
        state.bury(row, letter)
        state.pull(row, (name) => name === sink, false)
      }
    })
})

const states: ReadonlySet<string> = new Set(["ready", "behind", "scheduled"])

/** Rows that no relay would ever read in the slots of a lease; those without a slot belong to slot 0's. */
const strayRows = (state: MemoryState, slots: ReadonlyArray<number>): ReadonlyArray<Row> => {
  const unknown = state.rows.slots().filter((slot) => !Slot.all.includes(slot))
  return [
    ...state.rows.inSlots(slots).filter((row) => !states.has(row.state)),
    ...(slots.includes(0) ? state.rows.inSlots(unknown) : [])
  ]
}

const corruptOf = (row: Row): Stored => ({
  _tag: "Corrupt",
  id: row.id,
  slot: Slot.all.includes(row.slot) ? row.slot : 0,
  issues: row.stored._tag === "Corrupt" ? row.stored.issues : ["state: invalid"]
})

const upkeep = (
  state: MemoryState
): Pick<Store, "registerSinks" | "promote" | "sweepOrphans" | "depth" | "stats"> => ({
  registerSinks: (sinks) =>
    Effect.sync(() => {
      for (const { isMirror, name, topics } of sinks) {
        const known = state.sinks.get(name)?.topics ?? []
        state.sinks.set(name, { name, topics: [...new Set([...known, ...topics])], isMirror })
      }
    }),
  promote: (slots) =>
    Effect.sync(() => {
      const owned = new Set(slots)
      const rows = state.due().flatMap((id) => state.rows.get(id) ?? [])
      const due = rows.filter((row) => owned.has(row.slot))
      for (const row of due) state.put({ ...row, state: "ready" })
      return due.length
    }),
  sweepOrphans: (lease) =>
    fenced(state, "sweepOrphans", lease, [], () => {
      const slots = state.ownedBy(lease)
      const isGone = (sink: string) => !state.sinks.has(sink)
      const corrupt = strayRows(state, slots).slice(0, maxOrphans).map(corruptOf)
      const orphans = state.rows
        .inSlots(slots)
        .filter((row) => row.state === "behind" && (row.behind.length === 0 || row.behind.some(isGone)))
        .slice(0, maxOrphans - corrupt.length)
      for (const row of orphans) state.pull(row, isGone, true)
      return { mended: orphans.length, corrupt }
    }),
  depth: Effect.sync(() => state.rows.size),
  stats: Effect.sync(() => Stats.of(state))
})

const appending = (state: MemoryState): Pick<Store, "append" | "reserveSequences"> => ({
  append: (messages) =>
    Effect.map(current("append"), (transaction) => void transaction.messages.push(...messages)),
  reserveSequences: (counts) =>
    Effect.map(current("reserveSequences"), (transaction) => {
      const first = new Map<string, number>()
      for (const [key, count] of counts) {
        const last = transaction.sequences.get(key) ?? state.sequences.get(key) ?? 0
        first.set(key, last + 1)
        transaction.sequences.set(key, last + count)
      }
      return first
    })
})

/** The store over what the database holds. */
export const make = (state: MemoryState, feeds: Set<MemoryFeed>): Store =>
  OutboxStore.of({
    ...appending(state),
    ...membership(state),
    ...leasing(state),
    ...reading(state, feeds),
    ...settling(state),
    ...upkeep(state)
  })
