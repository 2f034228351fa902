import { Key } from "@twinbox/outbox"
import { Effect, Schedule } from "effect"
import * as BenchOutbox from "../BenchOutbox.ts"
import { within } from "../TimeLimit.ts"
import type { TopicArrivals } from "./TopicArrivals.ts"

/** Keys of messages that `BenchOutbox.fill` writes. */
export const keysOf = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => Key.make("customer", String(first + at)))

/**
 * Who follows the outbox's changes has to have begun: writes one message after another, with numbers of their own, until
 * one arrives.
 */
export const arrived = (arrivals: TopicArrivals, nextNumber: () => number) =>
  Effect.suspend(() => {
    const n = nextNumber()
    const expected = arrivals.expect(keysOf(n, 1))
    return Effect.zipRight(BenchOutbox.fill(n, 1), Effect.timeoutOption(expected.all, "500 millis"))
  }).pipe(
    Effect.repeat({ until: (seen) => seen._tag === "Some", schedule: Schedule.forever }),
    within("1 minute", "the first message had arrived")
  )
