import { Context, Effect, Layer } from "effect"
import type { Message } from "./Message.ts"
import { OutboxAdmin } from "./OutboxAdmin.ts"
import * as MemoryAdmin from "./OutboxMemoryAdmin.ts"
import type { MemoryFeed } from "./OutboxMemoryFeed.ts"
import { MemoryState, storedMessage } from "./OutboxMemoryState.ts"
import * as MemoryStore from "./OutboxMemoryStore.ts"
import { makeTransact, type Transact } from "./OutboxMemoryTransaction.ts"
import { OutboxStore } from "./OutboxStore.ts"

/** An outbox that lives in memory, with the transactions that write to it. */
export interface OutboxMemory {
  readonly store: Context.Tag.Service<OutboxStore>
  readonly admin: Context.Tag.Service<OutboxAdmin>
  readonly transact: Transact
  /**
   * Puts a record there that is no message, as a faulty writer might: for tests and simulation. Slot and state can be
   * anything. Default state: ready.
   */
  readonly insertCorrupt: (id: string, slot: number, state?: string) => Effect.Effect<void>
  /** Puts a message there that is behind for no sink, as a faulty writer might. */
  readonly insertOwedToNobody: (message: Message) => Effect.Effect<void>
}

export interface Options {
  /** How long delivered messages are kept for a replay, in milliseconds. Left out: not at all. */
  readonly keepDelivered?: number
}

/**
 * Makes an empty outbox in memory: for unit tests and simulation, under the same conformance suite as MongoDB's.
 *
 * The clock of the fiber that runs this is the database's clock. Every operation takes effect in one step.
 */
export const make = ({ keepDelivered = 0 }: Options = {}): Effect.Effect<OutboxMemory> =>
  Effect.gen(function* () {
    const state = new MemoryState(yield* Effect.clock, keepDelivered)
    const feeds = new Set<MemoryFeed>()
    const lock = yield* Effect.makeSemaphore(1)
    return {
      store: MemoryStore.make(state, feeds),
      admin: MemoryAdmin.make(state),
      transact: makeTransact(state, feeds, lock),
      insertCorrupt: (id, slot, recordState = "ready") =>
        Effect.sync(() => {
          const stored = { _tag: "Corrupt", id, slot, issues: ["the record is malformed"] } as const
          state.put({ id, slot, state: recordState, behind: [], stored })
        }),
      insertOwedToNobody: (message) =>
        Effect.sync(() => {
          const stored = storedMessage(message)
          state.put({ id: message.id, slot: message.slot, state: "behind", behind: [], stored })
        })
    }
  })

/** The store and the admin port of one outbox in memory; use `make` when transactions are needed too. */
export const layer: Layer.Layer<OutboxStore | OutboxAdmin> = Layer.effectContext(
  Effect.map(make(), ({ admin, store }) =>
    Context.make(OutboxStore, store).pipe(Context.add(OutboxAdmin, admin))
  )
)
