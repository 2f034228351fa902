import { SinkConformance } from "@twinbox/testkit"
import { Effect } from "effect"
import { describeKafka } from "../../../test/setup/testKafka.ts"
import { testSink } from "./testParts.ts"
import { readTopic, stateOf } from "./topicReader.ts"

describeKafka("with Kafka", () => {
  SinkConformance.suite(
    "a KafkaSink",
    Effect.gen(function* () {
      const broken = new Set<string>()
      const { brokers, sink, topic } = yield* testSink({
        maxBatchBytes: 100_000,
        serializer: {
          contentType: "application/json",
          serialize: ({ key, payload }) => {
            if (broken.has(key)) throw new Error(`cannot serialize ${payload}`)
            return Buffer.from(payload ?? "null")
          }
        }
      })
      return {
        sink,
        topic,
        read: (key) => Effect.map(readTopic(brokers, topic.name), (records) => stateOf(records, key)),
        breakKey: (key) => Effect.sync(() => broken.add(key))
      }
    })
  )
})
