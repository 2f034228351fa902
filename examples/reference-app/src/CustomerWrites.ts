import { randomUUID } from "node:crypto"
import { RemoteWrite } from "@twinbox/outbox"
import { RedisConnection, type RedisError, type RedisOutbox, RedisOutboxReader } from "@twinbox/redis"
import { type Context, Duration, Effect, Schedule, type Scope } from "effect"
import { customerStream } from "./Customer.ts"
import { customerIndexes } from "./CustomerIndexes.ts"
import { maxPending } from "./CustomerOutbox.ts"
import { Readiness, Unready } from "./Readiness.ts"
import { redisAnswers } from "./RedisAnswers.ts"
import { RoleFailures } from "./RoleFailures.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

/** How long a stop waits until MongoDB has decided on all writes. What is left is applied by the next run. */
const drainWithin = Duration.millis(700)

/** The reader's own patience, after the log was drained already. */
const settleWithin = Duration.millis(200)

/** Waits until no write is left in the log, within bounds; without Redis there is nothing to wait for. */
const drain = ({ depth }: RedisOutbox.RedisOutbox) =>
  Effect.gen(function* () {
    if (!(yield* redisAnswers)) return
    yield* depth.pipe(
      Effect.repeat({ until: (left) => left === 0, schedule: Schedule.spaced("20 millis") }),
      Effect.timeout(drainWithin)
    )
  }).pipe(Effect.interruptible, Effect.ignoreLogged)

/** Redis tells how many writes wait, and takes more. */
const check = ({ depth }: RedisOutbox.RedisOutbox) =>
  depth.pipe(
    Effect.mapError(({ message }) => new Unready({ reason: message })),
    Effect.filterOrFail(
      (left) => left < maxPending,
      () => new Unready({ reason: "as many writes of /v2 wait for MongoDB as may wait" })
    ),
    Effect.asVoid
  )

const pending = ({ depth }: RedisOutbox.RedisOutbox): Effect.Effect<ReadonlyArray<StatusItem>> =>
  Effect.match(depth, {
    onSuccess: (left) => [{ name: "writesPending", value: left, text: `${left} writes of /v2 pending` }],
    onFailure: () => []
  })

/** Brings customers that are written in Redis to MongoDB until the scope ends, and then what is left of them, if it can. */
export const bring = (
  outbox: RedisOutbox.RedisOutbox,
  remoteWrites: Context.Tag.Service<RemoteWrite.RemoteWrites>
): Effect.Effect<
  void,
  RedisError.RedisError,
  Readiness | RedisConnection.RedisConnection | RoleFailures | Scope.Scope | StatusBoard
> =>
  Effect.gen(function* () {
    const failures = yield* RoleFailures
    const reader = yield* RedisOutboxReader.make({
      stream: customerStream,
      indexes: customerIndexes,
      owner: `relay-${randomUUID()}`,
      stopWithin: settleWithin
    }).pipe(Effect.provideService(RemoteWrite.RemoteWrites, remoteWrites))
    yield* failures.fork(reader.run)
    // Finalizers run last first: drain, then the reader stops.
    const redis = yield* RedisConnection.RedisConnection
    yield* Effect.addFinalizer(() =>
      Effect.provideService(drain(outbox), RedisConnection.RedisConnection, redis)
    )
    yield* (yield* Readiness).add("writes", check(outbox))
    yield* (yield* StatusBoard).add(pending(outbox))
  })
