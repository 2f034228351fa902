import { type Duration, Schedule } from "effect"

/**
 * Pauses that double from `first` to `most`, each changed by a random fifth at most, so that many who wait do not
 * come back together. Without end: add a limit where there is one.
 */
export const between = (first: Duration.DurationInput, most: Duration.DurationInput) =>
  Schedule.exponential(first).pipe(Schedule.union(Schedule.spaced(most)), Schedule.jittered)
