import { MongoDatabase } from "@twinbox/mongodb"
import type { OutboxStore } from "@twinbox/outbox"
import { Effect } from "effect"
import * as BenchCustomer from "../BenchCustomer.ts"
import * as BenchOutbox from "../BenchOutbox.ts"
import * as RelayHost from "../RelayHost.ts"
import * as Slots from "../Slots.ts"
import type { Contender } from "./Contender.ts"

/** Kafka's topics that the relay writes to have this before the names of ours. */
export const topicPrefix = "twinbox."

/** A relay with a Kafka sink on the outbox of the database, in a process of its own, into a topic which is made. */
export const start = (mongoUri: string, brokers: string, nodeOptions: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<MongoDatabase.MongoDatabase | OutboxStore.OutboxStore>()
    const { db } = yield* MongoDatabase.MongoDatabase
    const kafkaTopic = `${topicPrefix}${BenchCustomer.topic.name}`
    const host = yield* RelayHost.make(nodeOptions)
    yield* host.start({
      mongoUri,
      database: db.databaseName,
      owner: "relay",
      sinks: [{ name: "kafka", kind: "kafka", brokers, kafkaTopic }]
    })
    yield* Slots.settled(1)
    const contender: Contender = {
      name: "Twinbox",
      context,
      kafkaTopic,
      usage: host.report,
      // The relay deletes what it has delivered.
      settled: Effect.provide(BenchOutbox.emptied, context),
      // With nothing to do it takes next to nothing, and a paused one would lose its slots.
      pause: Effect.void,
      resume: Effect.void
    }
    return contender
  })
