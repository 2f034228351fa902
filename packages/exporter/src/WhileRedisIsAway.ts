import { Backoff } from "@twinbox/outbox"
import type { RedisError } from "@twinbox/redis"
import { Duration, Effect, Schedule } from "effect"
import { failureOf } from "./ExportError.ts"
import type { Answer } from "./ExportStore.ts"
import * as Halt from "./Halt.ts"

/** Whether the same call may go through when Redis is back. A Redis that is full stays full. */
const passes = (error: RedisError.RedisError): boolean => error.retryable && error.reason !== "OutOfMemory"

const pauses = Backoff.between("20 millis", "500 millis")

/** Tries again for a while, and halts the export when that does not help. */
export const retrying =
  (patienceMillis: number) =>
  <A>(call: Effect.Effect<A, RedisError.RedisError>): Effect.Effect<A, Halt.Halt> =>
    call.pipe(
      Effect.retry({
        schedule: Schedule.intersect(pauses, Schedule.recurUpTo(Duration.millis(patienceMillis))),
        while: passes
      }),
      Effect.mapError((error) => Halt.failed(failureOf(error), error.message))
    )

/** Halts the export when the answer of Redis says that it goes on no longer. */
export const unlessHalted = (answer: Answer): Effect.Effect<Answer, Halt.Halt> => {
  if (answer._tag === "Ended") return Halt.ended(answer.state)
  return answer._tag === "Gone" || answer._tag === "Lost" ? Halt.failed("DataLost") : Effect.succeed(answer)
}
