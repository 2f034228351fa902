import { Backoff, OutboxError, Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Cause, Context, Data, Duration, Effect, Option, Schedule } from "effect"
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
  /** Ends, and never rejects, when the operation before the next one has ended. */
  #last: Promise<void> = Promise.resolve()
  readonly #group = Effect.unsafeMakeSemaphore(1)
  #failure: unknown

  constructor(session: ClientSession) {
    this.#session = session
  }

  /** The first error of an operation. With it the server ended the transaction, whatever the body makes of it. */
  get failure(): unknown {
    return this.#failure
  }

  /**
   * Runs one operation on the session, after those before it have ended; none after one that failed. Not
   * interruptible: an abort must not overtake an operation in flight.
   */
  use<A>(operation: (session: ClientSession) => Promise<A>): Effect.Effect<A, MongoError.MongoError> {
    return Effect.uninterruptible(
      Effect.async<A, MongoError.MongoError>((resume) => {
        const running = this.#last.then(() =>
          this.#failure === undefined ? operation(this.#session) : Promise.reject(this.#failure)
        )
        this.#last = running.then(
          (value) => resume(Effect.succeed(value)),
          (error: unknown) => {
            this.#failure ??= error
            resume(Effect.fail(MongoError.fromDriver(error)))
          }
        )
      })
    )
  }

  /** Runs operations that belong together, after other such groups have ended. A group has no other inside. */
  together<A, E, R>(operations: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.#group.withPermits(1)(operations)
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

/** Keeps operations that belong together apart from those of parallel fibers in the same transaction. Not to be nested. */
export const together = <A, E, R>(
  operations: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | OutboxTransaction.Transaction> =>
  Effect.flatMap(Effect.orDie(current), (transaction) => transaction.together(operations))

const driverCall = (call: () => Promise<void>) => Effect.tryPromise({ try: call, catch: (error) => error })

const commitSchedule = (within: Duration.DurationInput) =>
  Backoff.between("20 millis", "1 second").pipe(Schedule.upTo(within))

/** Sends the commit until its outcome is known. Committing again is harmless; running the body again would not be. */
const commit = (session: ClientSession, within: Duration.DurationInput) => {
  const send = driverCall(() => session.commitTransaction())
  return send.pipe(
    Effect.catchIf(MongoError.isUnknownCommit, () =>
      Effect.retry(send, { while: MongoError.isUnknownCommit, schedule: commitSchedule(within) })
    ),
    Effect.mapError((error) =>
      MongoError.isUnknownCommit(error)
        ? new MongoError.CommitUnknown({ cause: MongoError.fromDriver(error) })
        : concluding(error)
    )
  )
}

/** A failed abort is of no concern: the server aborts what its session has left. */
const abort = (session: ClientSession) =>
  session.inTransaction() ? Effect.ignore(driverCall(() => session.abortTransaction())) : Effect.void

/** What the failure of a commit or of an operation means for its transaction. */
const concluding = (error: unknown): TransientFailure | MongoError.MongoError =>
  MongoError.isTransient(error) ? new TransientFailure({ cause: error }) : MongoError.fromDriver(error)

/** One run of the body, committed or aborted. */
const attempt = <A, E, R>(
  session: ClientSession,
  body: Effect.Effect<A, E, R>,
  commitWithin: Duration.DurationInput
): Effect.Effect<
  A,
  E | MongoError.MongoError | TransientFailure,
  Exclude<R, OutboxTransaction.Transaction>
> =>
  Effect.uninterruptibleMask((restore) => {
    session.startTransaction(transactionOptions)
    const transaction = new MongoTransaction(session)
    return Effect.matchCauseEffect(
      restore(Effect.provideService(body, OutboxTransaction.Transaction, transaction)),
      {
        onSuccess: (value) =>
          transaction.failure === undefined
            ? Effect.as(commit(session, commitWithin), value)
            : // A body that caught the error of an operation has nothing left to commit.
              Effect.zipRight(abort(session), Effect.fail(concluding(transaction.failure))),
        onFailure: (cause) => {
          // The failure of one fiber of the body interrupts the others.
          const mayTryAgain = MongoError.isTransient(transaction.failure) && !Cause.isInterruptedOnly(cause)
          const failure: Effect.Effect<never, E | MongoError.MongoError | TransientFailure> = mayTryAgain
            ? Effect.fail(concluding(transaction.failure))
            : Effect.failCause(cause)
          return Effect.zipRight(abort(session), failure)
        }
      }
    )
  })

/** 2 ms to 500 ms between attempts, a random share of it. */
const attemptSchedule = (maxAttempts: number) =>
  Backoff.between("2 millis", "500 millis").pipe(Schedule.intersect(Schedule.recurs(maxAttempts - 1)))

const isTransientFailure = (error: unknown): error is TransientFailure => error instanceof TransientFailure

/** When the attempts are used up: contention if writers met, else the server is away. */
const givenUp = (error: TransientFailure, attempts: number) =>
  MongoError.isWriteConflict(error.cause)
    ? new MongoError.WriteContention({ attempts })
    : new MongoError.Unavailable({ cause: MongoError.fromDriver(error.cause)._tag })

/**
 * Runs an effect in a transaction of a session that the caller keeps. It joins no other transaction, and the caller
 * sees to it that nothing else uses the session meanwhile.
 */
export const runOn = <A, E, R>(
  session: ClientSession,
  body: Effect.Effect<A, E, R>,
  given: Options = {}
): Effect.Effect<A, E | MongoError.MongoError, Exclude<R, OutboxTransaction.Transaction>> => {
  const options = { ...defaults, ...given }
  const concluded = (error: E | MongoError.MongoError | TransientFailure) =>
    isTransientFailure(error) ? givenUp(error, options.maxAttempts) : (error as E | MongoError.MongoError)
  return attempt(session, body, options.commitWithin).pipe(
    // The first attempt does without the machinery of retries: it nearly always succeeds.
    Effect.catchIf(isTransientFailure, (first) => {
      const schedule = attemptSchedule(options.maxAttempts - 1)
      return options.maxAttempts > 1
        ? Effect.retry(Effect.delay(attempt(session, body, options.commitWithin), "2 millis"), {
            while: isTransientFailure,
            schedule
          })
        : Effect.fail(first)
    }),
    Effect.mapError(concluded)
  )
}

const runOutermost = <A, E, R>(
  client: MongoClient,
  body: Effect.Effect<A, E, R>,
  options: Options
): Effect.Effect<A, E | MongoError.MongoError, Exclude<R, OutboxTransaction.Transaction>> =>
  Effect.acquireUseRelease(
    Effect.sync(() => client.startSession()),
    (session) => runOn(session, body, options),
    (session) => Effect.promise(() => session.endSession())
  )

/**
 * Runs an effect in one MongoDB transaction: all that it wrote commits at its success, nothing at its
 * failure or interruption. A run inside another joins it. The first operation that fails ends the
 * transaction: catching its error inside the body does not bring it back.
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
  Effect.flatMap(MongoDatabase, (database) => runIn(database, body, options))

/** `run` for those who hold the database already. */
export const runIn = <A, E, R>(
  { client }: Pick<Context.Tag.Service<MongoDatabase>, "client">,
  body: Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A, E | MongoError.MongoError, Exclude<R, OutboxTransaction.Transaction>> =>
  Effect.contextWithEffect((context: Context.Context<never>) =>
    Option.isSome(Context.getOption(context, OutboxTransaction.Transaction))
      ? // The transaction is in the context already: the body finds it there.
        (body as Effect.Effect<A, E, Exclude<R, OutboxTransaction.Transaction>>)
      : runOutermost(client, body, options)
  )
