import { Duration } from "effect"

/**
 * How long to keep a tombstone, in milliseconds, as the scripts take it. An endless time is written as 0, since no
 * Redis command takes an endless expiry.
 */
export const tombstoneMillis = (ttl: Duration.DurationInput): number => {
  const millis = Duration.toMillis(ttl)
  return Number.isFinite(millis) ? Math.max(1, Math.round(millis)) : 0
}
