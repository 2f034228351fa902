import type { Rejection } from "./Sink.ts"
import * as RelayPolicy from "./RelayPolicy.ts"

/**
 * The life of one message at one sink.
 *
 * ```
 * Pending --confirmed--> Confirmed
 *    |  ^
 *    |  '-- due --- Waiting <--refused, may be sent again-- Pending
 *    '--refused for good, or the last attempt--> Dead
 * ```
 *
 * A sink that does not answer changes no state: its batch stays `Pending`.
 */
export type DeliveryState =
  | { readonly _tag: "Pending"; readonly attempts: number }
  | { readonly _tag: "Waiting"; readonly attempts: number; readonly dueMillis: number }
  | { readonly _tag: "Confirmed" }
  | { readonly _tag: "Dead"; readonly attempts: number; readonly rejection: Rejection }

/** A message that no attempt has been made to send. */
export const initial: DeliveryState = { _tag: "Pending", attempts: 0 }

/** The state after the sink refused the message at `nowMillis`. `random` is uniform in [0, 1). */
export const rejected = (
  attemptsBefore: number,
  rejection: Rejection,
  policy: RelayPolicy.RetryPolicy,
  nowMillis: number,
  random: number
): Extract<DeliveryState, { readonly _tag: "Waiting" | "Dead" }> => {
  const attempts = attemptsBefore + 1
  if (!rejection.retryable || attempts >= policy.maxAttempts) return { _tag: "Dead", attempts, rejection }
  return {
    _tag: "Waiting",
    attempts,
    dueMillis: nowMillis + RelayPolicy.delayMillis(policy, attempts, random)
  }
}
