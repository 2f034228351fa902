import { OutboxMemory } from "@twinbox/outbox"
import { OutboxStoreConformance, RecordingSink, SinkConformance, MessageFixture } from "@twinbox/testkit"
import { Effect } from "effect"

OutboxStoreConformance.suite("OutboxMemory", OutboxMemory.make)

SinkConformance.suite(
  "RecordingSink",
  Effect.sync(() => {
    const recording = RecordingSink.make({ topics: [MessageFixture.topic] })
    return {
      sink: recording.sink,
      topic: MessageFixture.topic,
      read: (key: string) =>
        Effect.sync(() => {
          const newest = recording.newest(key)
          return newest === undefined || newest.payload === null
            ? undefined
            : { sequence: newest.sequence, payload: newest.payload }
        }),
      breakKey: (key: string) =>
        recording.refuse((message) =>
          message.key === key
            ? { reason: "WrongType", error: "the key is broken", retryable: true }
            : undefined
        )
    }
  })
)
