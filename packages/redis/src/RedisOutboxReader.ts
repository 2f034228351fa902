import { randomUUID } from "node:crypto"
import { Backoff, type RemoteWrite } from "@twinbox/outbox"
import { Clock, Duration, Effect, Exit, Metric, type Scope } from "effect"
import type { Indexes } from "./Indexes.ts"
import { KeyLanes } from "./KeyLanes.ts"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import * as RedisOutboxKeys from "./RedisOutboxKeys.ts"
import * as RedisOutboxMetrics from "./RedisOutboxMetrics.ts"
import { tombstoneMillis } from "./TombstoneTtl.ts"
import type { WriteLogEntry } from "./WriteLogEntry.ts"
import * as WriteLogLock from "./WriteLogLock.ts"
import * as WriteLogScripts from "./WriteLogScripts.ts"
import * as WriteLogTake from "./WriteLogTake.ts"
import * as WriteSettlement from "./WriteSettlement.ts"

export interface Options {
  /** Stream of the keys: `customer` for `customer/42`. */
  readonly stream: string
  /** As the side that takes writes has it. */
  readonly prefix?: string
  /** As the side that takes writes has them. */
  readonly indexes: Indexes
  /** As the mirror has it. Default: for ever. */
  readonly tombstoneTtl?: Duration.DurationInput
  /** Name of this process among those that read the log. */
  readonly owner: string
  /** How many records are decided on at a time; who decides may let them share its transactions. Default 128. */
  readonly concurrency?: number
  /** How many writes are taken up and not settled, at most. Default 256. */
  readonly batch?: number
  /** How long the others wait for a reader that went silent. Default 3 seconds. */
  readonly lockFor?: Duration.DurationInput
  /** How many readers may take up a write before it is refused as `Failed`. Default 100. */
  readonly maxDeliveries?: number
  /** How many refused writes are kept; newer ones push out the oldest. Default 10,000. */
  readonly maxRefused?: number
  /** How long a stop waits for what is under way. Default 10 seconds. */
  readonly stopWithin?: Duration.DurationInput
}

export interface Status {
  /** Whether this process is the one that reads the log. */
  readonly active: boolean
  /** Writes taken up and not settled. */
  readonly underWay: number
}

/** Brings writes that Redis accepted to MongoDB. Of several, one is active; the others stand by. */
export interface RedisOutboxReader {
  /**
   * Runs until interrupted; then it finishes what is under way and gives the lock back. Redis comes and goes; fails
   * only with an error of Redis that waiting does not mend. To be run once.
   */
  readonly run: Effect.Effect<never, RedisError>
  readonly status: Effect.Effect<Status>
}

const defaults = {
  concurrency: 128,
  batch: 256,
  lockFor: Duration.seconds(3),
  maxDeliveries: 100,
  maxRefused: 10_000,
  stopWithin: Duration.seconds(10)
}

/** While Redis is away: without end. */
const whileAway = {
  schedule: Backoff.between("20 millis", "1 second"),
  while: (error: RedisError) => error.retryable
}

/** How often those who stand by look whether the lock is free, at the least. */
const maxStandbyMillis = 100

/** The longest wait for a write at the server; a lost connection that nobody notices costs no more than that. */
const maxWaitMillis = 500

/** The time in a position, by the clock of Redis. */
const acceptedAt = ({ position }: WriteLogEntry): number => Number(position.split("-")[0])

/** Needs Redis to be there; afterwards it comes and goes. */
export const make = (
  given: Options
): Effect.Effect<RedisOutboxReader, RedisError, RedisConnection | RemoteWrite.RemoteWrites | Scope.Scope> =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection
    const options = { ...defaults, prefix: RedisOutboxKeys.defaultPrefix(given.stream), ...given }
    const { batch, owner, stream } = options
    const keys = RedisOutboxKeys.make(options.prefix)
    const lockMillis = Math.max(1, Math.round(Duration.toMillis(options.lockFor)))
    const renewMillis = Math.ceil(lockMillis / 3)
    const waitMillis = Math.min(maxWaitMillis, renewMillis)
    const standbyMillis = Math.min(maxStandbyMillis, renewMillis)
    const bell = yield* redis.another
    const settle = yield* WriteSettlement.make({
      ...options,
      keys,
      tombstoneMillis: tombstoneMillis(options.tombstoneTtl ?? Duration.infinity)
    })
    const activeHere = Metric.tagged(RedisOutboxMetrics.active, "stream", stream)
    const depthHere = Metric.tagged(RedisOutboxMetrics.depth, "stream", stream)
    const ageHere = Metric.tagged(RedisOutboxMetrics.oldestAge, "stream", stream)
    let lanes: KeyLanes<WriteLogEntry> | undefined
    /** A process that is still alive cannot have died of what it claims later. */
    let isFirstClaim = true

    const report = (active: boolean, depth: number) =>
      Effect.gen(function* () {
        const oldest = lanes?.oldest
        const now = yield* Clock.currentTimeMillis
        const age = oldest === undefined ? 0 : Math.max(0, now - acceptedAt(oldest)) / 1000
        yield* Metric.set(activeHere, active ? 1 : 0)
        yield* Metric.set(depthHere, depth)
        yield* Metric.set(ageHere, age)
      })

    /** Ends at the next write after a position, or when the lock has to be renewed. */
    const ring = (after: string) =>
      bell.command(["XREAD", "COUNT", "1", "BLOCK", String(waitMillis), "STREAMS", keys.log, after]).pipe(
        Effect.orElse(() => Effect.sleep("20 millis")),
        Effect.asVoid
      )

    /** Reads the log until the lock is lost: first what others have left, then what nobody has taken. */
    const lead = (holder: string, term: KeyLanes<WriteLogEntry>) =>
      Effect.gen(function* () {
        const log = { keys, stream, consumer: owner, holder, lockMillis }
        let claimFrom: string | undefined = WriteLogScripts.start
        const take = (count: number) =>
          Effect.suspend(() =>
            WriteLogTake.take(log, { count, from: claimFrom ?? ">", countsDeliveries: isFirstClaim })
          ).pipe(
            // Its answer may be all that was lost: what it took is claimed.
            Effect.tapError(() => Effect.sync(() => (claimFrom = WriteLogScripts.start))),
            Effect.retry(whileAway)
          )
        while (true) {
          const { room } = term
          const taking: WriteLogTake.Taking = yield* take(room)
          if (taking._tag === "Lost") return
          const { depth, entries, next } = taking
          for (const entry of entries) {
            yield* term.offer(entry.position, entry.key ?? entry.position, entry)
          }
          yield* report(true, depth)
          if (room === 0) yield* Effect.raceFirst(term.hasRoom, Effect.sleep(renewMillis))
          else if (claimFrom !== undefined) {
            claimFrom = next === WriteLogScripts.start ? undefined : next
            if (claimFrom === undefined) isFirstClaim = false
          } else if (entries.length === 0) yield* ring(next)
        }
      })

    const stepDown = (holder: string, term: KeyLanes<WriteLogEntry>, exit: Exit.Exit<unknown, unknown>) =>
      Effect.gen(function* () {
        // Without the lock somebody else is at the same writes: there is no point in finishing.
        yield* term.stop(Exit.isInterrupted(exit) ? options.stopWithin : 0)
        yield* WriteLogLock.release(keys.lock, holder)
        lanes = undefined
        yield* report(false, 0)
      })

    /** One attempt at the lock, and what follows from it. One finalizer: Effect 3.22 loses an interruption between two. */
    const term = Effect.suspend(() => {
      const holder = `${owner}:${randomUUID()}`
      const own = new KeyLanes(batch, settle)
      return Effect.acquireUseRelease(
        // A lock that is taken when nobody waits for it any longer ends by itself.
        Effect.interruptible(WriteLogLock.acquire(keys.lock, holder, lockMillis)),
        (isHeld) => {
          if (!isHeld) return Effect.sleep(standbyMillis)
          lanes = own
          return lead(holder, own)
        },
        (isHeld, exit) => (isHeld ? stepDown(holder, own, exit) : Effect.void)
      )
    })

    return {
      run: Effect.forever(Effect.retry(term, whileAway)).pipe(Effect.provideService(RedisConnection, redis)),
      status: Effect.sync(() => ({ active: lanes !== undefined, underWay: lanes?.size ?? 0 }))
    }
  })
