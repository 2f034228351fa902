import { Clock, Duration, Effect } from "effect"
import { isAlive, type ProcessIdentity, sendSignal } from "./ProcessIdentity.ts"

/** How long a process may take to go after SIGKILL: it only waits for the kernel. */
const killWait: Duration.DurationInput = "2 seconds"

const pollEvery: Duration.DurationInput = "20 millis"

/**
 * Waits until the process is gone; false when it still lives after `limit`. A loop rather than a timeout:
 * finalizers are uninterruptible, and there a timeout would wait for what it is to end.
 */
export const awaitGone = (identity: ProcessIdentity, limit: Duration.DurationInput): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(limit)
    while (isAlive(identity)) {
      if ((yield* Clock.currentTimeMillis) >= deadline) return false
      yield* Effect.sleep(pollEvery)
    }
    return true
  })

/**
 * Ends a process: SIGTERM, `limit` of patience, then SIGKILL (the servers survive it: what they acknowledged
 * as durable is in their journals). False when even that did not end it.
 */
export const endProcess = (
  identity: ProcessIdentity,
  limit: Duration.DurationInput
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    sendSignal(identity, "SIGTERM")
    // A process that a test has paused does not see SIGTERM before it goes on.
    sendSignal(identity, "SIGCONT")
    if (yield* awaitGone(identity, limit)) return true
    sendSignal(identity, "SIGKILL")
    return yield* awaitGone(identity, killWait)
  })
