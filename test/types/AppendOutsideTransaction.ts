import { Message, Outbox, type OutboxStore, Topic } from "@twinbox/outbox"
import { Effect, Schema } from "effect"

// Every marked line must not compile: the transaction is missing. `AppendInsideTransaction.ts` is the twin.

const topic = Topic.anonymized("customers", Schema.Struct({ name: Schema.String }))
const draft = Message.fromText(topic, "customer/1", '{"name":"a"}')

const append = Effect.flatMap(Outbox.Outbox, (outbox) => outbox.append(draft))
const appendAll = Effect.flatMap(Outbox.Outbox, (outbox) => outbox.appendAll([{ draft }]))

export const needsOnlyTheOutbox: Effect.Effect<unknown, unknown, Outbox.Outbox> = append // error TS2375

export const run = (
  outbox: Effect.Effect.Success<ReturnType<typeof Outbox.make>>
): ReadonlyArray<unknown> => [
  Effect.runPromise(Effect.provideService(append, Outbox.Outbox, outbox)), // error TS2379
  Effect.runPromise(Effect.provideService(appendAll, Outbox.Outbox, outbox)) // error TS2379
]

export const writeToTheStore = (store: Effect.Effect.Success<typeof OutboxStore.OutboxStore>): void => {
  Effect.runSync(store.append([])) // error TS2379
}
