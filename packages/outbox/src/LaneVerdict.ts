import type { Delivery } from "./Delivery.ts"
import * as DeliveryState from "./DeliveryState.ts"
import { type DeadLetter, type FailedAttempt, maxHistory } from "./OutboxStore.ts"
import type { AfterDeadLetter, RetryPolicy } from "./RelayPolicy.ts"
import type { Stop } from "./BatchOutcome.ts"
import type { StoppedKey } from "./LaneOrder.ts"
import type { SinkErrorReason } from "./Sink.ts"

/** What follows from a refusal: the key's first message is sent again later, or is a dead letter. */
export type Verdict =
  | { readonly _tag: "Retry"; readonly stopped: StoppedKey }
  | { readonly _tag: "Dead"; readonly letter: DeadLetter }

export interface Options {
  readonly retry: RetryPolicy
  readonly afterDeadLetter: AfterDeadLetter
}

export interface Circumstances {
  readonly sink: string
  /** Of the monotonic clock: decides when the next attempt is due. */
  readonly nowMillis: number
  /** Time of day, for people. */
  readonly wallMillis: number
  /** Uniform in [0, 1). */
  readonly random: number
  /** Calls of the sink that have succeeded so far. */
  readonly successes: number
  /** Whether later messages of the key have to wait for this one. */
  readonly isOrdered: boolean
}

/** Reason of a message whose call took too long. */
const slow: SinkErrorReason = "Timeout"

const historyOf = (delivery: Delivery, before: StoppedKey | undefined, attempt: FailedAttempt) =>
  [...(before?.history ?? delivery.history), attempt].slice(-maxHistory)

/** Judges a refusal. `before` is what earlier refusals of the same message in this life led to. */
export const judge = (
  { refused, rejection }: Stop,
  before: StoppedKey | undefined,
  options: Options,
  at: Circumstances
): Verdict => {
  const { error, reason } = rejection
  const { id, slot } = refused.message
  const history = historyOf(refused, before, { at: at.wallMillis, reason, error })
  const state = DeliveryState.rejected(
    before?.attempts ?? 0,
    rejection,
    options.retry,
    at.nowMillis,
    at.random
  )
  if (state._tag === "Waiting") {
    const isSlow = reason === slow
    // A time limit says something about a message only if the sink has taken others since.
    const isBlameless = isSlow && before?.successes === at.successes
    const attempts = isBlameless ? before.attempts : state.attempts
    const { dueMillis } = state
    return {
      _tag: "Retry",
      stopped: { slot, attempts, dueMillis, history, successes: at.successes, isSlow }
    }
  }
  return {
    _tag: "Dead",
    letter: {
      messageId: id,
      slot,
      sink: at.sink,
      reason,
      error,
      attempts: state.attempts,
      // On unordered topics nothing follows a message that could have to wait for it.
      blocks: options.afterDeadLetter === "park" && at.isOrdered,
      history,
      at: at.wallMillis
    }
  }
}
