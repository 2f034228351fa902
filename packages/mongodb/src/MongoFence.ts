import type { OutboxError, OutboxStore, Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Data, Effect } from "effect"
import type { Binary, ClientSession, MongoClient } from "mongodb"
import type { MongoCollections } from "./MongoCollections.ts"
import type { MongoError } from "./MongoError.ts"
import { stale, toOutboxError } from "./StoreError.ts"
import * as Transaction from "./Transaction.ts"

type Body<A> = Effect.Effect<A, MongoError | OutboxError.OutboxError, OutboxTransaction.Transaction>

/** What a relay of this process writes through: one session, by one fiber at a time. */
interface Seat {
  readonly session: ClientSession
  readonly turn: Effect.Semaphore
}

/** The heartbeat document is gone. Never leaves this file. */
class Expelled extends Data.TaggedError("Expelled") {}

/**
 * Transactions that commit only while their relay is a member. Each writes the relay's own heartbeat document, and
 * whoever expels the relay deletes that document: one of the two fails.
 *
 * All of one relay go through one session, one after another, so that whoever expels it can end what a dead process
 * has left open there. `docs/adr/0006-fence-by-membership.md` shows why this is exact.
 */
export interface MongoFence {
  /** Makes the session of a relay that joins, and returns its id. */
  readonly enter: (owner: string) => Effect.Effect<Binary>
  /** Ends the session of a relay that is no member any more. */
  readonly exit: (owner: string) => Effect.Effect<void>
  /** Runs what writes the heartbeat document by itself apart from fenced transactions, which it would only meet. */
  readonly inTurn: <A, E>(owner: string, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Runs a transaction of a member; `StaleLease` when it is none. */
  readonly member: <A>(
    operation: string,
    owner: string,
    body: Body<A>
  ) => Effect.Effect<A, OutboxError.OutboxError>
  /** The same; `StaleLease` also when one of these slots is no longer the lease's. */
  readonly lease: <A>(
    operation: string,
    lease: OutboxStore.Lease,
    slots: ReadonlyArray<number>,
    body: Body<A>
  ) => Effect.Effect<A, OutboxError.OutboxError>
}

const idOf = (session: ClientSession): Binary => {
  if (session.id === undefined) throw new Error("an explicit session has an id from the start")
  return session.id.id
}

export const make = (client: MongoClient, { leases, relays }: MongoCollections): MongoFence => {
  // Sessions of relays that never leave end with the client.
  const seats = new Map<string, Seat>()

  const enter: MongoFence["enter"] = (owner) =>
    Effect.sync(() => {
      const seat = seats.get(owner) ?? {
        session: client.startSession(),
        turn: Effect.unsafeMakeSemaphore(1)
      }
      seats.set(owner, seat)
      return idOf(seat.session)
    })

  const exit: MongoFence["exit"] = (owner) =>
    Effect.suspend(() => {
      const seat = seats.get(owner)
      if (seat === undefined) return Effect.void
      seats.delete(owner)
      // Not before a transaction that is still open on it has ended.
      return seat.turn.withPermits(1)(Effect.promise(() => seat.session.endSession()))
    })

  /** The session is part of the question: another process may have joined under the same name. */
  const writeHeartbeat = (owner: string) =>
    Transaction.use((session) =>
      relays.updateOne({ _id: owner, session: idOf(session) }, { $inc: { writes: 1 } }, { session })
    ).pipe(
      Effect.filterOrFail(
        ({ matchedCount }) => matchedCount === 1,
        () => new Expelled()
      )
    )

  const checkHeld = (operation: string, lease: OutboxStore.Lease, slots: ReadonlyArray<number>) =>
    Transaction.use((session) =>
      leases.find({ _id: { $in: [...new Set(slots)] }, owner: lease.owner }, { session }).toArray()
    ).pipe(
      Effect.flatMap((records) => {
        const epochs = new Map(records.map(({ _id, epoch }) => [_id, epoch]))
        return slots.every((slot) => epochs.has(slot) && epochs.get(slot) === lease.epochs.get(slot))
          ? Effect.void
          : Effect.fail(stale(operation))
      })
    )

  const member: MongoFence["member"] = (operation, owner, body) =>
    Effect.suspend(() => {
      const seat = seats.get(owner)
      if (seat === undefined) return Effect.fail(stale(operation))
      // It may have left while others had their turn.
      const whileSeated = Effect.suspend(() =>
        seats.get(owner) === seat
          ? Transaction.runOn(seat.session, Effect.zipRight(writeHeartbeat(owner), body))
          : Effect.fail(stale(operation))
      )
      return seat.turn
        .withPermits(1)(whileSeated)
        .pipe(
          Effect.catchTag("Expelled", () => Effect.zipRight(exit(owner), Effect.fail(stale(operation)))),
          Effect.mapError(toOutboxError(operation))
        )
    })

  return {
    enter,
    exit,
    inTurn: (owner, effect) => seats.get(owner)?.turn.withPermits(1)(effect) ?? effect,
    member,
    lease: (operation, lease, slots, body) =>
      member(operation, lease.owner, Effect.zipRight(checkHeld(operation, lease, slots), body))
  }
}
