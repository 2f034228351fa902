// Runs as a process of its own, to be killed: starts servers, says so as JSON, and waits.
import { KafkaServer, MongoServer, RedisServer, type Report } from "@twinbox/services"
import { Effect, Option } from "effect"

const [service = "redis", dataFolder = ""] = process.argv.slice(2)

const report: Report = () => Effect.void
const given = dataFolder === "" ? { report } : { report, dataFolder }

const startRedis = Effect.gen(function* () {
  const redis = yield* RedisServer.start(yield* RedisServer.config(given))
  return { uri: redis.uri, pids: Option.toArray(yield* redis.pid) }
})

const startMongo = Effect.gen(function* () {
  const mongo = yield* MongoServer.start(yield* MongoServer.config(given))
  return { uri: mongo.uri, pids: yield* mongo.pids }
})

const startKafka = Effect.gen(function* () {
  const kafka = yield* KafkaServer.start(yield* KafkaServer.config(given))
  return { uri: kafka.brokers, pids: Option.toArray(yield* kafka.pid) }
})

const start = service === "redis" ? startRedis : service === "kafka" ? startKafka : startMongo

const main = start.pipe(
  Effect.tap((started) => Effect.sync(() => process.stdout.write(`${JSON.stringify(started)}\n`))),
  Effect.zipRight(Effect.never),
  Effect.scoped
)

const fiber = Effect.runFork(main)
process.once("SIGTERM", () => {
  fiber.unsafeInterruptAsFork(fiber.id())
})
