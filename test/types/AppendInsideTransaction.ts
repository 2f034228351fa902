import { Message, Outbox, type OutboxMemory, Topic } from "@twinbox/outbox"
import { Effect, Schema } from "effect"

const topic = Topic.anonymized("customers", Schema.Struct({ name: Schema.String }))
const draft = Message.fromText(topic, "customer/1", '{"name":"a"}')

const append = Effect.flatMap(Outbox.Outbox, (outbox) => outbox.append(draft))
const appendAll = Effect.flatMap(Outbox.Outbox, (outbox) => outbox.appendAll([{ draft }]))

export const needsOnlyTheOutbox = (
  memory: OutboxMemory.OutboxMemory
): Effect.Effect<unknown, unknown, Outbox.Outbox> => memory.transact(append)

export const run = (
  memory: OutboxMemory.OutboxMemory,
  outbox: Effect.Effect.Success<ReturnType<typeof Outbox.make>>
): ReadonlyArray<unknown> => [
  Effect.runPromise(memory.transact(Effect.provideService(append, Outbox.Outbox, outbox))),
  Effect.runPromise(memory.transact(Effect.provideService(appendAll, Outbox.Outbox, outbox)))
]

export const writeToTheStore = (memory: OutboxMemory.OutboxMemory): void => {
  Effect.runSync(memory.transact(memory.store.append([])))
}
