/**
 * Pure decisions about sending again. Randomness comes in as an argument, so that a seed reproduces
 * every decision.
 */

/** How often and after how long a refused message is sent again. */
export interface RetryPolicy {
  /** How many times a message is sent before it becomes a dead letter; 1 or more. */
  readonly maxAttempts: number
  readonly firstDelayMillis: number
  /** Each further delay is this many times the one before. */
  readonly factor: number
  readonly maxDelayMillis: number
}

/** 10 attempts: 100 ms, 200 ms, 400 ms, ... at most 30 s apart, about half a minute in all. */
export const defaultRetry: RetryPolicy = {
  maxAttempts: 10,
  firstDelayMillis: 100,
  factor: 2,
  maxDelayMillis: 30_000
}

/**
 * What happens to a key after one of its messages became a dead letter:
 * - `park`: the key waits at this sink until a person requeues or discards the dead letter;
 * - `skip`: the key goes on with its next message.
 */
export type AfterDeadLetter = "park" | "skip"

/**
 * Delay before the next attempt, in milliseconds: exponential, of which a random half is taken off
 * ("equal jitter"), so that many failing keys do not come back together.
 *
 * @param attempts attempts made so far, 1 or more
 * @param random uniform in [0, 1)
 */
export const delayMillis = (policy: RetryPolicy, attempts: number, random: number): number => {
  const full = Math.min(policy.maxDelayMillis, policy.firstDelayMillis * policy.factor ** (attempts - 1))
  return full / 2 + (full / 2) * random
}
