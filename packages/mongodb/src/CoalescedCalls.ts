import type { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Deferred, Effect, Exit } from "effect"
import * as Transaction from "./Transaction.ts"

export interface Options<Item, A, E> {
  /** Makes calls in the open transaction. Returns what became of each, in their order. */
  readonly run: (
    items: ReadonlyArray<Item>
  ) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>, E, OutboxTransaction.Transaction>
  /** Calls of the same id are not made together, but one after another in the order of their arrival. */
  readonly idOf: (item: Item) => string
}

/** Makes one call in the open transaction, together with those that other fibers of it make at the same time. */
export type Call<Item, A, E> = (item: Item) => Effect.Effect<A, E, OutboxTransaction.Transaction>

interface Waiting<Item, A, E> {
  readonly item: Item
  readonly done: Deferred.Deferred<A, E>
}

/** Calls that are made together, at most. */
const maxTogether = 1_000

/** The first calls that may be made together, in order of arrival. */
const next = <Item, A, E>(
  waiting: ReadonlySet<Waiting<Item, A, E>>,
  idOf: (item: Item) => string
): ReadonlyArray<Waiting<Item, A, E>> => {
  const byId = new Map<string, Waiting<Item, A, E>>()
  for (const call of waiting) {
    if (byId.size >= maxTogether) break
    const id = idOf(call.item)
    if (!byId.has(id)) byId.set(id, call)
  }
  return [...byId.values()]
}

/** The calls of one transaction that wait. */
class Waiters<Item, A, E> {
  readonly calls = new Set<Waiting<Item, A, E>>()
  /** Whether a fiber is making calls until none waits. */
  isServed = false
}

/**
 * Lets fibers of one transaction share round trips: a session takes one operation after another, so what they ask for
 * while one is under way is gathered and made as one. The failure of such a call is that of all who are in it, as the
 * transaction is lost for all of them. A call that is interrupted before it is made is withdrawn; afterwards the
 * interruption waits for its end.
 *
 * `run` is run by a fiber that has the context of one of the callers.
 */
export const make = <Item, A, E>({ idOf, run }: Options<Item, A, E>): Call<Item, A, E> => {
  const ofTransaction = new WeakMap<Transaction.MongoTransaction, Waiters<Item, A, E>>()

  const waitersIn = (transaction: Transaction.MongoTransaction) => {
    const known = ofTransaction.get(transaction)
    if (known !== undefined) return known
    const fresh = new Waiters<Item, A, E>()
    ofTransaction.set(transaction, fresh)
    return fresh
  }

  const runNext = (waiters: Waiters<Item, A, E>) =>
    Effect.suspend(() => {
      const calls = next(waiters.calls, idOf)
      if (calls.length === 0) return Effect.void
      for (const call of calls) waiters.calls.delete(call)
      return Effect.flatMap(Effect.exit(run(calls.map(({ item }) => item))), (exit) =>
        Effect.forEach(
          calls,
          ({ done }, position) =>
            Deferred.done(
              done,
              Exit.flatMap(exit, (exits) => exits[position] ?? Exit.die("no result"))
            ),
          { discard: true }
        )
      )
    })

  const serve = (transaction: Transaction.MongoTransaction, waiters: Waiters<Item, A, E>) =>
    Effect.gen(function* () {
      while (waiters.calls.size > 0) {
        // Fibers that are about to call get into the same round trip.
        yield* Effect.yieldNow()
        yield* transaction.together(runNext(waiters))
      }
      waiters.isServed = false
    })

  return (item) =>
    Effect.flatMap(Effect.orDie(Transaction.current), (transaction) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const waiters = waitersIn(transaction)
          const call = { item, done: yield* Deferred.make<A, E>() }
          waiters.calls.add(call)
          if (!waiters.isServed) {
            waiters.isServed = true
            yield* Effect.forkDaemon(serve(transaction, waiters))
          }
          return yield* Effect.onInterrupt(restore(Deferred.await(call.done)), () =>
            waiters.calls.delete(call) ? Effect.void : Effect.exit(Deferred.await(call.done))
          )
        })
      )
    )
}
