import { type Context, Effect, Layer, Option } from "effect"
import type { Message } from "./Message.ts"
import { OutboxError } from "./OutboxError.ts"
import {
  type Cursor,
  type DeadLetter,
  type Feed,
  type Lease,
  OutboxStore,
  type Position,
  type RegisteredSink,
  type Settlement,
  type Stored
} from "./OutboxStore.ts"
import { Transaction, type TransactionService } from "./Transaction.ts"

/** A record and who still owes it; an empty `behind` means ready. */
interface Row {
  readonly stored: Stored
  readonly behind: ReadonlyArray<string>
}

interface SlotOwner {
  readonly owner: string
  readonly epoch: number
}

interface State {
  readonly rows: Map<string, Row>
  /** The places that are taken. */
  readonly places: Set<string>
  /** By message and sink. */
  readonly dead: Map<string, DeadLetter & { readonly stored: Stored }>
  readonly sequences: Map<string, number>
  readonly leases: Map<number, SlotOwner>
  readonly sinks: Map<string, RegisteredSink>
  /** Commits so far: the position of the feed. */
  commits: number
}

class MemoryTransaction implements TransactionService {
  readonly adapter = "memory"
  readonly messages: Array<Message> = []
  readonly sequences = new Map<string, number>()
}

interface MemoryPosition extends Position {
  readonly commits: number
}

const batchSize = 100

const placeOf = (message: Message): string =>
  [message.slot, message.key, message.sequence, message.ordinal].join("\u0000")

const byPlace = (a: Message, b: Message): number =>
  a.slot - b.slot ||
  (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) ||
  a.sequence - b.sequence ||
  a.ordinal - b.ordinal

const slotOf = (stored: Stored): number => (stored._tag === "Message" ? stored.message.slot : stored.slot)

/** Corrupt records have no place of their own: they come first in their slot. */
const byStoredPlace = (a: Stored, b: Stored): number =>
  a._tag === "Message" && b._tag === "Message"
    ? byPlace(a.message, b.message)
    : slotOf(a) - slotOf(b) || Number(a._tag === "Message") - Number(b._tag === "Message")

const storedMessage = (message: Message): Stored => ({ _tag: "Message", message })

const cursorOver = (records: ReadonlyArray<Stored>): Cursor => {
  let at = 0
  return {
    next: Effect.sync(() => {
      const batch = records.slice(at, at + batchSize)
      at += batch.length
      return batch
    })
  }
}

/** One open feed. */
class MemoryFeed {
  readonly slots: ReadonlySet<number>
  readonly #inserts: Array<Message> = []
  readonly #arrived = Effect.unsafeMakeLatch()

  constructor(slots: ReadonlyArray<number>) {
    this.slots = new Set(slots)
  }

  offer(message: Message): void {
    this.#inserts.push(message)
    this.#arrived.unsafeOpen()
  }

  /** Waits a second at most. Nothing is taken while it waits, so that an interruption loses nothing. */
  readonly next: Effect.Effect<ReadonlyArray<Stored>> = Effect.suspend(() =>
    Effect.timeoutOption(this.#arrived.await, "1 second")
  ).pipe(
    Effect.map(() => {
      const batch = this.#inserts.splice(0, batchSize).map(storedMessage)
      if (this.#inserts.length === 0) this.#arrived.unsafeClose()
      return batch
    })
  )
}

const fail = (reason: OutboxError["reason"], operation: string) =>
  Effect.fail(new OutboxError({ reason, operation }))

/** The memory transaction in the context, or `WrongTransaction`. */
const current = (operation: string) =>
  Effect.flatMap(Transaction, (transaction) =>
    transaction instanceof MemoryTransaction
      ? Effect.succeed(transaction)
      : fail("WrongTransaction", operation)
  )

/** An outbox that lives in memory, with the transactions that write to it. */
export interface OutboxMemory {
  readonly store: Context.Tag.Service<OutboxStore>
  /** Runs an effect in a transaction: all it appended becomes visible at its success, or nothing. One at a time. */
  readonly transact: <A, E, R>(
    body: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | OutboxError, Exclude<R, Transaction>>
  /** Puts a record there that is no message, as a faulty writer might: for tests and simulation. */
  readonly insertCorrupt: (id: string, slot: number) => Effect.Effect<void>
}

/** Makes an empty outbox in memory: for unit tests and simulation, under the same conformance suite as MongoDB's. */
export const make: Effect.Effect<OutboxMemory> = Effect.gen(function* () {
  const state: State = {
    rows: new Map(),
    places: new Set(),
    dead: new Map(),
    sequences: new Map(),
    leases: new Map(),
    sinks: new Map(),
    commits: 0
  }
  const feeds = new Set<MemoryFeed>()
  const lock = yield* Effect.makeSemaphore(1)

  const isTaken = (messages: ReadonlyArray<Message>): boolean => {
    const ids = new Set(messages.map((message) => message.id))
    const places = new Set(messages.map(placeOf))
    return (
      ids.size < messages.length ||
      places.size < messages.length ||
      messages.some((message) => state.rows.has(message.id) || state.places.has(placeOf(message)))
    )
  }

  const insert = (message: Message) => {
    state.rows.set(message.id, { stored: storedMessage(message), behind: [] })
    state.places.add(placeOf(message))
    for (const feed of feeds) if (feed.slots.has(message.slot)) feed.offer(message)
  }

  const remove = (id: string) => {
    const stored = state.rows.get(id)?.stored
    if (stored?._tag === "Message") state.places.delete(placeOf(stored.message))
    state.rows.delete(id)
  }

  /** In one step, so that no other fiber sees half of it. */
  const commit = (transaction: MemoryTransaction) =>
    Effect.suspend(() => {
      if (isTaken(transaction.messages)) return fail("DuplicateSequence", "append")
      for (const [key, sequence] of transaction.sequences) state.sequences.set(key, sequence)
      transaction.messages.forEach(insert)
      state.commits += 1
      return Effect.void
    })

  const runAlone = <A, E, R>(body: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const transaction = new MemoryTransaction()
      const result = yield* Effect.provideService(body, Transaction, transaction)
      yield* commit(transaction)
      return result
    }).pipe(lock.withPermits(1))

  const transact: OutboxMemory["transact"] = (body) =>
    Effect.flatMap(Effect.serviceOption(Transaction), (outer) =>
      Option.isSome(outer) ? Effect.provideService(body, Transaction, outer.value) : runAlone(body)
    )

  /** Refuses when any of these slots has another owner or epoch by now. */
  const fence = (lease: Lease, slots: ReadonlyArray<number>, operation: string) =>
    Effect.suspend(() =>
      slots.every((slot) => {
        const held = state.leases.get(slot)
        return held !== undefined && held.owner === lease.owner && held.epoch === lease.epochs.get(slot)
      })
        ? Effect.void
        : fail("StaleLease", operation)
    )

  const recordsIn = (slots: ReadonlyArray<number>, wanted: (row: Row) => boolean): ReadonlyArray<Stored> => {
    const owned = new Set(slots)
    return [...state.rows.values()]
      .filter((row) => owned.has(slotOf(row.stored)) && wanted(row))
      .map((row) => row.stored)
      .toSorted(byStoredPlace)
  }

  const blockedAt = (sink: string, slots: ReadonlyArray<number>): ReadonlyArray<string> => {
    const owned = new Set(slots)
    const keys = [...state.dead.values()].flatMap(({ blocks, sink: at, slot, stored }) =>
      blocks && at === sink && owned.has(slot) && stored._tag === "Message" ? [stored.message.key] : []
    )
    return [...new Set(keys)]
  }

  const isOwedTo = (sink: string, blocked: ReadonlySet<string>) => (row: Row) =>
    row.behind.includes(sink) && row.stored._tag === "Message" && !blocked.has(row.stored.message.key)

  const leave = (id: string, row: Row, behind: ReadonlyArray<string>) => {
    if (behind.length === 0) remove(id)
    else state.rows.set(id, { ...row, behind })
  }

  const applySettlement = ({ behind, dead, messageId }: Settlement) => {
    const row = state.rows.get(messageId)
    if (row === undefined) return
    for (const letter of dead)
      state.dead.set(JSON.stringify([messageId, letter.sink]), { ...letter, stored: row.stored })
    leave(messageId, row, behind)
  }

  const confirmFor = (sink: string, messageId: string) => {
    const row = state.rows.get(messageId)
    if (!row?.behind.includes(sink)) return
    leave(
      messageId,
      row,
      row.behind.filter((name) => name !== sink)
    )
  }

  const store = OutboxStore.of({
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
      }),
    claim: (owner, slots) =>
      Effect.sync(() => {
        const epochs = new Map<number, number>()
        for (const slot of slots) {
          const epoch = (state.leases.get(slot)?.epoch ?? 0) + 1
          state.leases.set(slot, { owner, epoch })
          epochs.set(slot, epoch)
        }
        return { owner, epochs }
      }),
    release: (lease) =>
      Effect.sync(() => {
        for (const [slot, epoch] of lease.epochs) {
          const held = state.leases.get(slot)
          if (held?.owner === lease.owner && held.epoch === epoch)
            state.leases.set(slot, { owner: "", epoch })
        }
      }),
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
      Effect.sync(() => cursorOver(recordsIn(slots, (row) => row.behind.length === 0))),
    readBehind: ({ sink, slots }) =>
      Effect.sync(() => cursorOver(recordsIn(slots, isOwedTo(sink, new Set(blockedAt(sink, slots)))))),
    confirm: (messageIds) => Effect.sync(() => messageIds.forEach(remove)),
    confirmBehind: (lease, sink, messages) =>
      Effect.map(
        fence(
          lease,
          messages.map(({ slot }) => slot),
          "confirmBehind"
        ),
        () => messages.forEach(({ id }) => confirmFor(sink, id))
      ),
    settle: (lease, settlements) =>
      Effect.map(
        fence(
          lease,
          settlements.map(({ slot }) => slot),
          "settle"
        ),
        () => settlements.forEach(applySettlement)
      ),
    blockedKeys: ({ sink, slots }) => Effect.sync(() => blockedAt(sink, slots)),
    registerSinks: (sinks) => Effect.sync(() => sinks.forEach((sink) => state.sinks.set(sink.name, sink))),
    sinks: Effect.sync(() => [...state.sinks.values()]),
    stats: Effect.sync(() => {
      const rows = [...state.rows.values()]
      const behind = rows.filter((row) => row.behind.length > 0).length
      const createdAt = rows.flatMap(({ stored }) =>
        stored._tag === "Message" ? [stored.message.createdAt] : []
      )
      return {
        ready: rows.length - behind,
        behind,
        dead: state.dead.size,
        oldestCreatedAt: createdAt.length === 0 ? undefined : createdAt.reduce((a, b) => Math.min(a, b))
      }
    })
  })
  const insertCorrupt: OutboxMemory["insertCorrupt"] = (id, slot) =>
    Effect.sync(() => {
      const stored: Stored = { _tag: "Corrupt", id, slot, issues: ["the record is malformed"] }
      state.rows.set(id, { stored, behind: [] })
    })

  return { store, transact, insertCorrupt }
})

/** Only the store; use `make` when transactions are needed too. */
export const layer: Layer.Layer<OutboxStore> = Layer.effect(
  OutboxStore,
  Effect.map(make, ({ store }) => store)
)
