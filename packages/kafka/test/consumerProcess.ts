import { KafkaCluster, KafkaConsumer } from "@twinbox/kafka"
import { MongoDatabase, MongoInbox, Transaction } from "@twinbox/mongodb"
import { Topic } from "@twinbox/outbox"
import { Effect, Redacted, Schema } from "effect"
import * as MessageFixture from "../../testkit/src/MessageFixture.ts"

/* A consumer as a process of its own, to be killed. It applies what it gets as the tests do, and says what it knows. */

export const Settings = Schema.parseJson(
  Schema.Struct({
    brokers: Schema.String,
    mongoUri: Schema.String,
    database: Schema.String,
    topic: Schema.String,
    group: Schema.String,
    commitEvery: Schema.Number,
    recordsPerTransaction: Schema.Number,
    pauseMillis: Schema.Number
  })
)

const say = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const program = Effect.gen(function* () {
  const settings = yield* Schema.decodeUnknown(Settings)(process.env["CONSUMER"])
  const { db } = yield* MongoDatabase.MongoDatabase
  const applied = db.collection<{ _id: string; sequences: ReadonlyArray<number> }>("applied")
  const topic = Topic.anonymized(settings.topic, MessageFixture.Payload)
  const { run, status } = yield* KafkaConsumer.make({
    group: settings.group,
    sessionTimeout: "3 seconds",
    heartbeatInterval: "300 millis",
    commitEvery: settings.commitEvery,
    recordsPerTransaction: settings.recordsPerTransaction,
    transact: (body) => Transaction.run(body),
    topics: [
      KafkaConsumer.subscribe(topic, {
        handler: ({ key, sequence }) =>
          Effect.zipRight(
            Transaction.use((session) =>
              applied.updateOne({ _id: key }, { $push: { sequences: sequence } }, { session, upsert: true })
            ),
            Effect.sleep(settings.pauseMillis)
          )
      })
    ]
  })
  yield* Effect.fork(
    Effect.forever(
      Effect.delay(
        Effect.flatMap(status, ({ isMember, partitions }) =>
          say(`member=${isMember} partitions=${partitions.length}`)
        ),
        "100 millis"
      )
    )
  )
  return yield* run
})

const settings = Schema.decodeUnknownSync(Settings)(process.env["CONSUMER"])
const database = MongoDatabase.layer({
  uri: Redacted.make(settings.mongoUri),
  database: settings.database,
  appName: settings.group
})

const fiber = Effect.runFork(
  program.pipe(
    Effect.provide(MongoInbox.layer()),
    Effect.provide(database),
    Effect.provide(KafkaCluster.layer({ brokers: settings.brokers.split(",") }))
  )
)
process.on("SIGTERM", () => fiber.unsafeInterruptAsFork(fiber.id()))
