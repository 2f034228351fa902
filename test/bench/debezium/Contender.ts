import type { MongoDatabase } from "@twinbox/mongodb"
import type { OutboxStore } from "@twinbox/outbox"
import type { Context, Effect } from "effect"
import type { Usage } from "./ProcessUsage.ts"

/** One of those that are compared, running: it brings what is written to the outbox of its database to its topic. */
export interface Contender {
  readonly name: string
  /** Its database. */
  readonly context: Context.Context<MongoDatabase.MongoDatabase | OutboxStore.OutboxStore>
  /** Kafka's topic. */
  readonly kafkaTopic: string
  /** Of its process. */
  readonly usage: Effect.Effect<Usage>
  /** Waits until it has done all it has to do for the messages that have arrived. */
  readonly settled: Effect.Effect<void>
  /** Keeps it from burdening the other while it has nothing to do. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}
