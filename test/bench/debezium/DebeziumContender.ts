import { MongoDatabase } from "@twinbox/mongodb"
import { KafkaCluster, KafkaTopics } from "@twinbox/kafka"
import type { OutboxStore } from "@twinbox/outbox"
import { Effect, Option } from "effect"
import * as BenchCustomer from "../BenchCustomer.ts"
import * as ConnectServer from "./ConnectServer.ts"
import type { Contender } from "./Contender.ts"
import { usageOf } from "./ProcessUsage.ts"

/** Kafka's topics that Debezium writes to have this before the names of ours. */
export const topicPrefix = "debezium."

/**
 * Debezium on the outbox of the database, into a topic of its own, which is made. It is stopped while it has nothing to
 * do: it would take a quarter of a core from the other.
 */
export const start = (mongoUri: string, brokers: string, javaArguments: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<MongoDatabase.MongoDatabase | OutboxStore.OutboxStore>()
    const { db } = yield* MongoDatabase.MongoDatabase
    const kafkaTopic = `${topicPrefix}${BenchCustomer.topic.name}`
    yield* Effect.provide(KafkaTopics.ensure([kafkaTopic], {}), KafkaCluster.layer({ brokers: [brokers] }))
    const database = db.databaseName
    const server = yield* ConnectServer.start({ mongoUri, database, brokers, topicPrefix, javaArguments })
    const contender: Contender = {
      name: "Debezium",
      context,
      kafkaTopic,
      usage: Effect.flatMap(server.pid, (pid) => usageOf(Option.getOrThrow(pid))),
      settled: Effect.void,
      pause: Effect.orDie(server.kill("SIGSTOP")),
      resume: Effect.orDie(server.kill("SIGCONT"))
    }
    return contender
  })
