import { Effect, Option } from "effect"
import type { Message } from "./Message.ts"
import type { MemoryFeed } from "./OutboxMemoryFeed.ts"
import { freshRow, type MemoryState } from "./OutboxMemoryState.ts"
import { OutboxError } from "./OutboxError.ts"
import { Transaction, type TransactionService } from "./Transaction.ts"

/** What a transaction will write. */
class MemoryTransaction implements TransactionService {
  readonly adapter = "memory"
  readonly messages: Array<Message> = []
  readonly sequences = new Map<string, number>()
}

/** The memory transaction in the context, or `WrongTransaction`. */
export const current = (operation: string) =>
  Effect.flatMap(Transaction, (transaction) =>
    transaction instanceof MemoryTransaction
      ? Effect.succeed(transaction)
      : Effect.fail(new OutboxError({ reason: "WrongTransaction", operation }))
  )

/** Runs an effect in a transaction: all it appended becomes visible at its success, or nothing. One at a time. */
export type Transact = <A, E, R>(
  body: Effect.Effect<A, E, R>
) => Effect.Effect<A, E | OutboxError, Exclude<R, Transaction>>

/** In one step, so that no other fiber sees half of it. */
const commit = (state: MemoryState, feeds: Iterable<MemoryFeed>, transaction: MemoryTransaction) =>
  Effect.suspend(() => {
    if (state.isAnyTaken(transaction.messages)) {
      return Effect.fail(new OutboxError({ reason: "DuplicateSequence", operation: "append" }))
    }
    for (const [key, sequence] of transaction.sequences) state.sequences.set(key, sequence)
    for (const row of transaction.messages.map(freshRow)) state.put(row)
    for (const message of transaction.messages) {
      if (message.availableAt === undefined) for (const feed of feeds) feed.offer(message)
    }
    state.commits += 1
    return Effect.void
  })

export const makeTransact = (
  state: MemoryState,
  feeds: Iterable<MemoryFeed>,
  lock: Effect.Semaphore
): Transact => {
  const runAlone = <A, E, R>(body: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const transaction = new MemoryTransaction()
      const result = yield* Effect.provideService(body, Transaction, transaction)
      yield* commit(state, feeds, transaction)
      return result
    }).pipe(lock.withPermits(1))

  return (body) =>
    Effect.flatMap(Effect.serviceOption(Transaction), (outer) =>
      Option.isSome(outer) ? Effect.provideService(body, Transaction, outer.value) : runAlone(body)
    )
}
