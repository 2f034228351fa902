import { Effect, Layer, Queue, type Context, Option } from "effect"
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

/** A message and who still owes it; an empty `behind` means ready. */
interface Row {
  readonly message: Message
  readonly behind: ReadonlyArray<string>
}

interface Slots {
  readonly owner: string
  readonly epoch: number
}

interface State {
  readonly rows: Map<string, Row>
  readonly dead: Array<DeadLetter & { readonly message: Message | undefined }>
  readonly sequences: Map<string, number>
  readonly leases: Map<number, Slots>
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

const stored = (message: Message): Stored => ({ _tag: "Message", message })

const cursorOver = (messages: ReadonlyArray<Message>): Cursor => {
  let at = 0
  return {
    next: Effect.sync(() => {
      const batch = messages.slice(at, at + batchSize)
      at += batch.length
      return batch.map(stored)
    })
  }
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
}

/** Makes an empty outbox in memory: for unit tests and simulation, under the same conformance suite as MongoDB's. */
export const make: Effect.Effect<OutboxMemory> = Effect.gen(function* () {
  const state: State = {
    rows: new Map(),
    dead: [],
    sequences: new Map(),
    leases: new Map(),
    sinks: new Map(),
    commits: 0
  }
  const feeds = new Set<{ readonly slots: ReadonlySet<number>; readonly queue: Queue.Queue<Message> }>()
  const lock = yield* Effect.makeSemaphore(1)

  const commit = (transaction: MemoryTransaction) =>
    Effect.gen(function* () {
      const taken = new Set([...state.rows.values()].map(({ message }) => placeOf(message)))
      for (const message of transaction.messages) {
        const place = placeOf(message)
        if (taken.has(place)) return yield* fail("DuplicateSequence", "append")
        taken.add(place)
      }
      for (const [key, sequence] of transaction.sequences) state.sequences.set(key, sequence)
      for (const message of transaction.messages) {
        state.rows.set(message.id, { message, behind: [] })
        for (const feed of feeds) if (feed.slots.has(message.slot)) yield* Queue.offer(feed.queue, message)
      }
      state.commits += 1
    })

  const runAlone = <A, E, R>(body: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const transaction = new MemoryTransaction()
      const result = yield* Effect.provideService(body, Transaction, transaction)
      yield* Effect.uninterruptible(commit(transaction))
      return result
    }).pipe(lock.withPermits(1))

  const transact: OutboxMemory["transact"] = (body) =>
    Effect.flatMap(Effect.serviceOption(Transaction), (outer) =>
      Option.isSome(outer) ? Effect.provideService(body, Transaction, outer.value) : runAlone(body)
    )

  /** Refuses when any of these slots has another owner or epoch by now. */
  const fence = (lease: Lease, slots: ReadonlyArray<number>, operation: string) =>
    slots.every((slot) => {
      const held = state.leases.get(slot)
      return held !== undefined && held.owner === lease.owner && held.epoch === lease.epochs.get(slot)
    })
      ? Effect.void
      : fail("StaleLease", operation)

  const rowsIn = (slots: ReadonlyArray<number>, wanted: (row: Row) => boolean): ReadonlyArray<Message> => {
    const owned = new Set(slots)
    return [...state.rows.values()]
      .filter((row) => owned.has(row.message.slot) && wanted(row))
      .map((row) => row.message)
      .toSorted(byPlace)
  }

  const blockedAt = (sink: string, slots: ReadonlyArray<number>): ReadonlyArray<string> => {
    const owned = new Set(slots)
    const keys = state.dead.flatMap((letter) =>
      letter.sink === sink && owned.has(letter.slot) && letter.message !== undefined
        ? [letter.message.key]
        : []
    )
    return [...new Set(keys)]
  }

  const applySettlement = (settlement: Settlement) => {
    const row = state.rows.get(settlement.messageId)
    if (row === undefined) return
    for (const letter of settlement.dead) state.dead.push({ ...letter, message: row.message })
    if (settlement.behind.length === 0) state.rows.delete(settlement.messageId)
    else state.rows.set(settlement.messageId, { ...row, behind: settlement.behind })
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
          Effect.map(Queue.unbounded<Message>(), (queue) => {
            const feed = { slots: new Set(slots), queue }
            feeds.add(feed)
            return feed
          }),
          (feed) =>
            Effect.zipRight(
              Effect.sync(() => feeds.delete(feed)),
              Queue.shutdown(feed.queue)
            )
        ),
        ({ queue }): Feed => {
          const position: MemoryPosition = { adapter: "memory", commits: state.commits }
          return {
            position,
            next: Effect.map(
              Effect.timeoutOption(Queue.takeBetween(queue, 1, batchSize), "1 second"),
              Option.match({ onNone: () => [], onSome: (messages) => [...messages].map(stored) })
            )
          }
        }
      ),
    readReady: ({ slots }) => Effect.sync(() => cursorOver(rowsIn(slots, (row) => row.behind.length === 0))),
    readBehind: ({ sink, slots }) =>
      Effect.sync(() => {
        const blocked = new Set(blockedAt(sink, slots))
        return cursorOver(rowsIn(slots, (row) => row.behind.includes(sink) && !blocked.has(row.message.key)))
      }),
    confirm: (messageIds) => Effect.sync(() => messageIds.forEach((id) => state.rows.delete(id))),
    confirmBehind: (lease, sink, messages) =>
      Effect.map(
        fence(
          lease,
          messages.map(({ slot }) => slot),
          "confirmBehind"
        ),
        () => {
          for (const { id } of messages) {
            const row = state.rows.get(id)
            if (row === undefined) continue
            const behind = row.behind.filter((name) => name !== sink)
            if (behind.length === 0) state.rows.delete(id)
            else state.rows.set(id, { ...row, behind })
          }
        }
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
      const createdAt = rows.map(({ message }) => message.createdAt)
      return {
        ready: rows.length - behind,
        behind,
        dead: state.dead.length,
        oldestCreatedAt: createdAt.length === 0 ? undefined : Math.min(...createdAt)
      }
    })
  })
  return { store, transact }
})

/** Only the store; use `make` when transactions are needed too. */
export const layer: Layer.Layer<OutboxStore> = Layer.effect(
  OutboxStore,
  Effect.map(make, ({ store }) => store)
)
