import { OutboxStore, Relay, type Sink } from "@twinbox/outbox"
import { Effect, Fiber, Schedule } from "effect"

/** Waits until the outbox is empty. */
export const untilDrained = Effect.flatMap(OutboxStore.OutboxStore, (store) =>
  Effect.repeat(store.stats, {
    until: ({ behind, ready }) => ready + behind === 0,
    schedule: Schedule.spaced("20 millis")
  })
)

/** Runs a relay into sinks until the outbox is empty. */
export const drainInto = (sinks: ReadonlyArray<Sink.Sink>) =>
  Effect.gen(function* () {
    const relay = yield* Relay.make({ sinks })
    const running = yield* Effect.fork(relay.run)
    yield* untilDrained
    yield* Fiber.interrupt(running)
  })
