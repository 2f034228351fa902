import { OutboxError, Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Cause, Data, Duration, Effect, Exit, Option, Schedule } from "effect"
import type { ClientSession, MongoClient, TransactionOptions } from "mongodb"
import { MongoDatabase } from "./MongoDatabase.ts"
import * as MongoError from "./MongoError.ts"

export interface Options {
  /** How often the whole body is run when other writers get in the way. Default 30. */
  readonly maxAttempts?: number
  /** How long the commit alone is sent again while the server does not say what became of it. Default 30 seconds. */
  readonly commitWithin?: Duration.DurationInput
}

const defaults = { maxAttempts: 30, commitWithin: Duration.seconds(30) }

/** Reads see one majority-committed snapshot; a commit is confirmed by a majority. */
const transactionOptions: TransactionOptions = {
  readConcern: { level: "snapshot" },
  writeConcern: { w: "majority" },
  readPreference: "primary"
}

/** An attempt that may be made again from the start. Never leaves this file. */
class TransientFailure extends Data.TaggedError("TransientFailure")<{ readonly cause: unknown }> {}

/** An open MongoDB transaction: the session, and the rule that its operations never overlap. */
export class MongoTransaction implements OutboxTransaction.TransactionService {
  readonly adapter = "mongodb"
  readonly #session: ClientSession
  readonly #lock = Effect.unsafeMakeSemaphore(1)
  #transient: unknown

  constructor(session: ClientSession) {
    this.#session = session
  }

  /** The first error that asks for a new attempt of the whole transaction. */
  get transient(): unknown {
    return this.#transient
  }

  /** Runs one operation on the session, after those before it have ended. */
  use<A>(operation: (session: ClientSession) => Promise<A>): Effect.Effect<A, MongoError.MongoError> {
    return this.#lock.withPermits(1)(
      Effect.async<A, MongoError.MongoError>((resume) => {
        const running = operation(this.#session).then(
          (value) => resume(Effect.succeed(value)),
          (error: unknown) => {
            if (MongoError.isTransient(error)) this.#transient ??= error
            resume(Effect.fail(MongoError.fromDriver(error)))
          }
        )
        // An interruption waits for the operation in flight: an abort must not overtake it.
        return Effect.promise(() => running)
      })
    )
  }
}

/** The MongoDB transaction in the context; `WrongTransaction` when another adapter opened it. */
export const current: Effect.Effect<
  MongoTransaction,
  OutboxError.OutboxError,
  OutboxTransaction.Transaction
> = Effect.flatMap(OutboxTransaction.Transaction, (transaction) =>
  transaction instanceof MongoTransaction
    ? Effect.succeed(transaction)
    : Effect.fail(new OutboxError.OutboxError({ reason: "WrongTransaction", operation: transaction.adapter }))
)

/** Runs one operation of the driver in the open transaction. Pass the session on in its options. */
export const use = <A>(
  operation: (session: ClientSession) => Promise<A>
): Effect.Effect<A, MongoError.MongoError, OutboxTransaction.Transaction> =>
  Effect.flatMap(Effect.orDie(current), (transaction) => transaction.use(operation))

const driverCall = (call: () => Promise<void>) => Effect.tryPromise({ try: call, catch: (error) => error })

const commitSchedule = (within: Duration.DurationInput) =>
  Schedule.exponential("20 millis").pipe(
    Schedule.union(Schedule.spaced("1 second")),
    Schedule.jittered,
    Schedule.upTo(within)
  )

/** Sends the commit until its outcome is known. Committing again is harmless; running the body again would not be. */
const commit = (session: ClientSession, within: Duration.DurationInput) =>
  driverCall(() => session.commitTransaction()).pipe(
    Effect.retry({ while: MongoError.isUnknownCommit, schedule: commitSchedule(within) }),
    Effect.mapError((error) => {
      if (MongoError.isUnknownCommit(error))
        return new MongoError.CommitUnknown({ cause: MongoError.fromDriver(error) })
      return MongoError.isTransient(error)
        ? new TransientFailure({ cause: error })
        : MongoError.fromDriver(error)
    })
  )

/** A failed abort is of no concern: the server aborts what its session has left. */
const abort = (session: ClientSession) =>
  session.inTransaction() ? Effect.ignore(driverCall(() => session.abortTransaction())) : Effect.void

const attempt = <A, E, R>(
  session: ClientSession,
  body: Effect.Effect<A, E, R>,
  commitWithin: Duration.DurationInput
) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      session.startTransaction(transactionOptions)
      const transaction = new MongoTransaction(session)
      const exit = yield* Effect.exit(
        restore(Effect.provideService(body, OutboxTransaction.Transaction, transaction))
      )
      if (Exit.isSuccess(exit)) {
        yield* commit(session, commitWithin)
        return exit.value
      }
      yield* abort(session)
      const mayTryAgain = transaction.transient !== undefined && !Cause.isInterrupted(exit.cause)
      return yield* mayTryAgain ? new TransientFailure({ cause: transaction.transient }) : exit
    })
  )

/** 2 ms to 500 ms between attempts, a random share of it. */
const attemptSchedule = (maxAttempts: number) =>
  Schedule.exponential("2 millis").pipe(
    Schedule.union(Schedule.spaced("500 millis")),
    Schedule.jittered,
    Schedule.intersect(Schedule.recurs(maxAttempts - 1))
  )

const isTransientFailure = (error: unknown): error is TransientFailure => error instanceof TransientFailure

/** When the attempts are used up: contention if writers met, else the server is away. */
const givenUp = (error: TransientFailure, attempts: number) =>
  MongoError.isWriteConflict(error.cause)
    ? new MongoError.WriteContention({ attempts })
    : new MongoError.Unavailable({ cause: MongoError.fromDriver(error.cause)._tag })

const runOutermost = <A, E, R>(
  client: MongoClient,
  body: Effect.Effect<A, E, R>,
  given: Options
): Effect.Effect<A, E | MongoError.MongoError, Exclude<R, OutboxTransaction.Transaction>> => {
  const options = { ...defaults, ...given }
  const concluded = (error: E | MongoError.MongoError | TransientFailure) =>
    isTransientFailure(error) ? givenUp(error, options.maxAttempts) : (error as E | MongoError.MongoError)
  return Effect.acquireUseRelease(
    Effect.sync(() => client.startSession()),
    (session) =>
      attempt(session, body, options.commitWithin).pipe(
        Effect.retry({ while: isTransientFailure, schedule: attemptSchedule(options.maxAttempts) }),
        Effect.mapError(concluded)
      ),
    (session) => Effect.promise(() => session.endSession())
  )
}

/**
 * Runs an effect in one MongoDB transaction: all that it wrote commits at its success, nothing at its
 * failure or interruption. A run inside another joins it.
 *
 * The body may run several times (`TransientTransactionError`): let it have no effects outside the
 * database. The commit alone is sent again on `UnknownTransactionCommitResult`.
 *
 * Fails with the body's own errors, and with `WriteContention`, `CommitUnknown`, `TransactionTooLarge`,
 * `Unavailable` or `Refused`.
 *
 * Source: https://www.mongodb.com/docs/manual/core/transactions-in-applications/
 */
export const run = <A, E, R>(
  body: Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A, E | MongoError.MongoError, Exclude<R, OutboxTransaction.Transaction> | MongoDatabase> =>
  Effect.gen(function* () {
    const outer = yield* Effect.serviceOption(OutboxTransaction.Transaction)
    if (Option.isSome(outer))
      return yield* Effect.provideService(body, OutboxTransaction.Transaction, outer.value)
    const { client } = yield* MongoDatabase
    return yield* runOutermost(client, body, options)
  })
