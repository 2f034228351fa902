import type { Topic } from "@twinbox/outbox"
import { Effect } from "effect"
import * as KafkaConsumerRecord from "./KafkaConsumerRecord.ts"
import type { UnreadableRecord } from "./UnreadableRecord.ts"

export interface SubscribeOptions<A, E, R> {
  /**
   * What to do about a message, in the transaction that also notes that it is done. It can run several times, as all
   * in a transaction can: let it have no effects outside the database. An error with `retryable: true` is tried again
   * for as long as it takes; any other a limited number of times, and then the record is a dead letter.
   */
  readonly handler: (received: KafkaConsumerRecord.Received<A>) => Effect.Effect<unknown, E, R>
  /** Name of the topic in Kafka. Default: that of the topic. */
  readonly kafkaTopic?: string
  /** Where records go that are given up on. It has to exist. Default: the topic's name in Kafka and `.dead`. */
  readonly deadLetterTopic?: string
  /** From each older version of the Schema that may still come to the next one. */
  readonly upcasts?: KafkaConsumerRecord.Upcasts
  /** Default JSON. */
  readonly deserialize?: KafkaConsumerRecord.Deserializer
}

/** A message that can be applied. */
export interface Prepared<R> {
  readonly received: KafkaConsumerRecord.Received<unknown>
  readonly effect: Effect.Effect<unknown, unknown, R>
}

/** A topic of Kafka and what to do about its records. */
export interface Subscription<R> {
  readonly topic: Topic.Any
  readonly kafkaTopic: string
  readonly deadLetterTopic: string
  readonly prepare: (record: KafkaConsumerRecord.RawRecord) => Effect.Effect<Prepared<R>, UnreadableRecord>
}

/** Says what to do about the messages of a topic. */
export const subscribe = <A, I, V extends Topic.View, E, R>(
  topic: Topic.Topic<A, I, V>,
  options: SubscribeOptions<A, E, R>
): Subscription<R> => {
  const { deserialize = KafkaConsumerRecord.json, kafkaTopic = topic.name, upcasts = {} } = options
  const format = { topic, upcasts, deserialize }
  return {
    topic,
    kafkaTopic,
    deadLetterTopic: options.deadLetterTopic ?? `${kafkaTopic}.dead`,
    prepare: (record) =>
      Effect.map(KafkaConsumerRecord.read(record, format), (received) => ({
        received,
        effect: Effect.suspend(() => options.handler(received))
      }))
  }
}
