import { MongoDatabase, type MongoError, Transaction } from "@twinbox/mongodb"
import { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Effect, Option, type Scope } from "effect"
import * as GroupCommit from "./GroupCommit.ts"
import { KeyQueue } from "./KeyQueue.ts"
import type { WriteError } from "./RepositoryError.ts"
import type { BatchError, WriteBatch } from "./WriteBatch.ts"
import type { Planned, Write } from "./WritePlan.ts"

/** Brings writes into a transaction: the caller's, a shared one, or one of their own. */
export interface Writer {
  /** @param bytes size of the documents to be written, roughly */
  readonly one: (write: Write, bytes: number) => Effect.Effect<Planned, WriteError>
  /** All in one transaction, or none. */
  readonly many: (writes: ReadonlyArray<Write>) => Effect.Effect<ReadonlyArray<Planned>, WriteError>
}

const withoutPosition = (error: BatchError | WriteError): WriteError =>
  error._tag === "RefusedWrite" ? error.error : error

/** Makes the writes; the first that cannot be made fails all of them. */
const allOrNothing = (batch: WriteBatch, writes: ReadonlyArray<Write>) =>
  Effect.flatMap(batch.execute(writes), (results) => Effect.all(results))

export const make = (
  batch: WriteBatch,
  group: GroupCommit.Options | undefined
): Effect.Effect<Writer, never, MongoDatabase.MongoDatabase | Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* MongoDatabase.MongoDatabase
    const queue = new KeyQueue()
    const transact = <A, E>(
      body: Effect.Effect<A, E, OutboxTransaction.Transaction>
    ): Effect.Effect<A, E | MongoError.MongoError> =>
      Effect.provideService(Transaction.run(body), MongoDatabase.MongoDatabase, database)

    const inOneTransaction = (writes: ReadonlyArray<Write>) =>
      transact(allOrNothing(batch, writes)).pipe(Effect.mapError(withoutPosition))

    const alone = (write: Write) =>
      Effect.map(queue.inTurn(write.intent.id, inOneTransaction([write])), ([planned]) => planned as Planned)

    const shared =
      group === undefined
        ? undefined
        : yield* GroupCommit.make(
            (writes) => transact(batch.execute(writes)) as Effect.Effect<never, BatchError>,
            group
          )

    /** Inside the caller's transaction there is nothing to share and nobody to queue for. */
    const joining = <A>(joined: Effect.Effect<A, WriteError>, otherwise: Effect.Effect<A, WriteError>) =>
      Effect.flatMap(Effect.serviceOption(OutboxTransaction.Transaction), (open) =>
        Option.isSome(open)
          ? Effect.provideService(joined, OutboxTransaction.Transaction, open.value)
          : otherwise
      )

    return {
      one: (write, bytes) =>
        joining(
          Effect.map(inOneTransaction([write]), ([planned]) => planned as Planned),
          shared === undefined ? alone(write) : shared.submit(write, bytes)
        ),
      many: inOneTransaction
    }
  })
