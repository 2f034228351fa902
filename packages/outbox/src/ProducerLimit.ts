import { type Cause, Context, Deferred, Duration, Effect, FiberId } from "effect"
import { OutboxError } from "./OutboxError.ts"
import { Transaction } from "./Transaction.ts"

export interface Options {
  /** How many messages may wait before writers are refused with `Full`: 1 at least. Left out: any number. */
  readonly maxDepth?: number
  /** How long one reading of the depth is good for, for all fibers together. Default 1 second. */
  readonly checkEvery?: Duration.DurationInput
}

const defaultCheckEvery = Duration.seconds(1)

/** A reading that takes longer has failed: writers must not wait for it. */
const readWithin = Duration.seconds(1)

/** The caller's transaction is none of the reading's business. */
const outsideTransaction = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.mapInputContext(effect, (context: Context.Context<never>) =>
    Context.omit(Transaction)(context as Context.Context<Transaction>)
  )

/**
 * What writers have to pass: fails with `Full` while the last known depth is `maxDepth` or more. When the last
 * reading is too old, they wait for a new one. A reading that fails changes nothing:
 * the last known figure stays, or none is known and nobody is refused.
 */
const limited = (
  depth: Effect.Effect<number, OutboxError>,
  maxDepth: number,
  checkEvery: Duration.Duration
): Effect.Effect<void, OutboxError> => {
  const goodForNanos = BigInt(Math.round(Duration.toMillis(checkEvery) * 1_000_000))
  let known: number | undefined
  let readAgainAt: bigint | undefined
  let reading: Deferred.Deferred<void> | undefined
  let isBlind = false

  const refuse = Effect.suspend(() =>
    known !== undefined && known >= maxDepth
      ? Effect.fail(new OutboxError({ reason: "Full", operation: "append" }))
      : Effect.void
  )

  const noteFailure = (cause: Cause.Cause<unknown>) =>
    Effect.suspend(() => {
      if (isBlind) return Effect.void
      isBlind = true
      return Effect.logWarning(
        "the depth of the outbox cannot be read: the last known one goes on limiting producers",
        cause
      )
    })

  const noteDepth = (figure: number) =>
    Effect.sync(() => {
      known = figure
      isBlind = false
    })

  const finish = (done: Deferred.Deferred<void>) =>
    Effect.clockWith((clock) => {
      readAgainAt = clock.unsafeCurrentTimeNanos() + goodForNanos
      reading = undefined
      return Deferred.succeed(done, undefined)
    })

  const read = (done: Deferred.Deferred<void>) =>
    outsideTransaction(depth).pipe(
      Effect.interruptible,
      Effect.timeout(readWithin),
      Effect.matchCauseEffect({ onSuccess: noteDepth, onFailure: noteFailure }),
      Effect.ensuring(finish(done))
    )

  // The reading is everybody's: it has a fiber of its own, which ends with it.
  const refresh = Effect.uninterruptibleMask((restore) => {
    if (reading !== undefined) return restore(Deferred.await(reading))
    reading = Deferred.unsafeMake<void>(FiberId.none)
    return Effect.zipRight(Effect.forkDaemon(read(reading)), restore(Deferred.await(reading)))
  })

  return Effect.clockWith((clock) =>
    readAgainAt !== undefined && clock.unsafeCurrentTimeNanos() < readAgainAt
      ? refuse
      : Effect.zipRight(refresh, refuse)
  )
}

/** The limit that the options ask for, over a way to read the depth. Without `maxDepth` nothing is ever read. */
export const make = (
  depth: Effect.Effect<number, OutboxError>,
  { checkEvery = defaultCheckEvery, maxDepth }: Options
): Effect.Effect<Effect.Effect<void, OutboxError>> => {
  if (maxDepth === undefined) return Effect.succeed(Effect.void)
  return Number.isSafeInteger(maxDepth) && maxDepth >= 1
    ? Effect.sync(() => limited(depth, maxDepth, Duration.decode(checkEvery)))
    : Effect.dieMessage(`maxDepth has to be a whole number of 1 at least, not ${maxDepth}`)
}
