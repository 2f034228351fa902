import { Clock, type Context, Effect, Option } from "effect"
import * as Inbox from "./Inbox.ts"
import { InboxError } from "./InboxError.ts"
import { Transaction, type TransactionService } from "./Transaction.ts"

/** A note with the time at which it is forgotten, in milliseconds since the epoch. */
interface Note<A> {
  readonly value: A
  readonly expireAt: number
}

/** Notes by name, those that expire first in front: all live equally long from their last change. */
class Notes<A> {
  readonly #notes = new Map<string, Note<A>>()
  readonly #lifetime: number

  constructor(lifetimeMillis: number | undefined) {
    this.#lifetime = lifetimeMillis ?? Infinity
  }

  get(name: string, now: number): A | undefined {
    const note = this.#notes.get(name)
    return note === undefined || note.expireAt <= now ? undefined : note.value
  }

  set(name: string, value: A, now: number): void {
    this.#notes.delete(name)
    this.#notes.set(name, { value, expireAt: now + this.#lifetime })
    for (const [first, { expireAt }] of this.#notes) {
      if (expireAt > now) return
      this.#notes.delete(first)
    }
  }
}

class InboxTransaction implements TransactionService {
  readonly adapter = "inbox-memory"
  readonly ids = new Set<string>()
  readonly newest = new Map<string, Inbox.Place>()
  isDoomed = false
}

/** An inbox that lives in memory, with the transactions that it takes part in. */
export interface InboxMemory {
  readonly inbox: Context.Tag.Service<Inbox.Inbox>
  /** Runs an effect in a transaction: what the inbox noted holds at its success, or not at all. One at a time. */
  readonly transact: <A, E, R>(
    body: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | InboxError, Exclude<R, Transaction>>
}

const nameOf = (consumer: Inbox.Consumer, name: string) => `${consumer.name}:${name}`

/** Makes an empty inbox in memory: for unit tests of consumers, under the same conformance suite as MongoDB's. */
export const make = (options: Inbox.Options = {}): Effect.Effect<InboxMemory> =>
  Effect.sync(() => {
    const lifetimes = Inbox.lifetimesOf(options)
    const ids = new Notes<true>(lifetimes.ids)
    const newest = new Notes<Inbox.Place>(lifetimes.guards)
    const lock = Effect.unsafeMakeSemaphore(1)

    const current = Effect.flatMap(Transaction, (transaction) =>
      transaction instanceof InboxTransaction
        ? Effect.succeed(transaction)
        : Effect.fail(new InboxError({ reason: "WrongTransaction", operation: "once" }))
    )

    const admit: Inbox.Ledger["admit"] = (consumer, message) =>
      Effect.zipWith(current, Clock.currentTimeMillis, (transaction, now) => {
        const id = nameOf(consumer, message.id)
        const key = nameOf(consumer, message.key)
        const isGuarded = consumer.guard === "sequence"
        const verdict = Inbox.judge(message, {
          isApplied: transaction.ids.has(id) || ids.get(id, now) !== undefined,
          newest: isGuarded ? (transaction.newest.get(key) ?? newest.get(key, now)) : undefined
        })
        if (verdict === "New") {
          transaction.ids.add(id)
          if (isGuarded) transaction.newest.set(key, message)
        }
        return verdict
      })

    const doom = Effect.ignore(Effect.map(current, (transaction) => void (transaction.isDoomed = true)))

    const commit = (transaction: InboxTransaction) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (transaction.isDoomed) return new InboxError({ reason: "Refused", operation: "commit" })
        for (const id of transaction.ids) ids.set(id, true, now)
        for (const [key, place] of transaction.newest) newest.set(key, place, now)
        return Effect.void
      })

    const runAlone = <A, E, R>(body: Effect.Effect<A, E, R>) =>
      Effect.suspend(() => {
        const transaction = new InboxTransaction()
        return Effect.tap(Effect.provideService(body, Transaction, transaction), () => commit(transaction))
      }).pipe(lock.withPermits(1))

    const transact: InboxMemory["transact"] = (body) =>
      Effect.flatMap(Effect.serviceOption(Transaction), (outer) =>
        Option.isSome(outer) ? Effect.provideService(body, Transaction, outer.value) : runAlone(body)
      )

    return { inbox: Inbox.over({ admit, doom }), transact }
  })
