import { Producer } from "@platformatic/kafka"
import { Backoff } from "@twinbox/outbox"
import { Effect, type Scope } from "effect"
import * as KafkaClient from "./KafkaClient.ts"
import { KafkaCluster } from "./KafkaCluster.ts"
import { fromClient, KafkaError } from "./KafkaError.ts"
import type { GivenUp } from "./KafkaConsumerApply.ts"
import type { RawRecord } from "./KafkaConsumerRecord.ts"
import * as KafkaTopics from "./KafkaTopics.ts"

/** Headers that a dead letter has beside those of its record. */
export const header = {
  /** Names of errors and fields, never values. */
  reason: "dead-reason",
  attempts: "dead-attempts",
  consumer: "dead-consumer",
  topic: "dead-topic",
  partition: "dead-partition",
  offset: "dead-offset"
} as const

const ownNames: ReadonlySet<string> = new Set(Object.values(header))

type Client = Producer<Buffer, Buffer, Buffer, Buffer>

/** The longest text of a reason. */
const maxReasonLength = 1_000

const open = (cluster: KafkaCluster["Type"]): Client =>
  KafkaClient.guarded(new Producer({ ...cluster.clientOptions(), idempotent: true }))

const close = (client: Client) => KafkaClient.close(() => client.close())

/** The record as it came, with what became of it. One that had been a dead letter before loses what was said of it. */
const letterFrom = (record: RawRecord, topic: string, consumer: string, why: GivenUp) => {
  const told: ReadonlyArray<readonly [string, string]> = [
    [header.reason, why.reason.slice(0, maxReasonLength)],
    [header.attempts, String(why.attempts)],
    [header.consumer, consumer],
    [header.topic, record.topic],
    [header.partition, String(record.partition)],
    [header.offset, String(record.offset)]
  ]
  const kept = record.headers.filter(([name]) => !ownNames.has(name))
  return {
    topic,
    // The client's types know of no keys and values that are null; Kafka does.
    key: record.key as Buffer,
    value: record.value as Buffer,
    headers: new Map([
      ...kept.map(([name, value]) => [Buffer.from(name), value as Buffer] as const),
      ...told.map(([name, value]) => [Buffer.from(name), Buffer.from(value)] as const)
    ])
  }
}

export interface Options {
  readonly consumer: string
  /** How topics for dead letters are made that are not there yet; `false`: not at all. */
  readonly create: KafkaTopics.TopicSettings | false
}

/** Writes a dead letter; comes back when enough replicas have it. */
export type Bury = (record: RawRecord, topic: string, why: GivenUp) => Effect.Effect<void>

/** Often enough that the records behind go on soon after the topic can be written again. */
const whileItCannotBeWritten = Backoff.between("100 millis", "5 seconds")

/** Opens a connection when the first dead letter comes, and closes it at the end of the scope. */
export const make = ({ consumer, create }: Options): Effect.Effect<Bury, never, KafkaCluster | Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* KafkaCluster
    const { brokers } = cluster
    const takesTooLong = new KafkaError({ reason: "Unavailable", brokers, detail: "no answer in time" })
    const gate = yield* Effect.makeSemaphore(1)
    let client: Client | undefined

    /** A client that failed goes: nothing piles up in it, and the next one learns anew who leads a partition. */
    const drop = Effect.suspend(() => {
      const used = client
      client = undefined
      return used === undefined ? Effect.void : close(used)
    })
    yield* Effect.addFinalizer(() => drop)

    const send = (letter: ReturnType<typeof letterFrom>): Effect.Effect<void, KafkaError> =>
      Effect.tryPromise({
        try: () => (client ??= open(cluster)).send({ messages: [letter], acks: -1 }),
        catch: (error) => fromClient(error, brokers)
      }).pipe(
        Effect.timeoutFail({ duration: cluster.requestTimeout, onTimeout: () => takesTooLong }),
        Effect.onError(() => drop),
        Effect.asVoid
      )

    const ensure = (topic: string) =>
      create === false
        ? Effect.void
        : Effect.ignore(Effect.provideService(KafkaTopics.ensure([topic], create), KafkaCluster, cluster))

    return (record, topic, why) => {
      const letter = letterFrom(record, topic, consumer, why)
      return gate
        .withPermits(1)(send(letter))
        .pipe(
          Effect.tapError((error) => Effect.logWarning(`a dead letter waits: ${error.message}`)),
          Effect.tapError(({ reason }) => (reason === "UnknownTopic" ? ensure(topic) : Effect.void)),
          Effect.retry(whileItCannotBeWritten),
          Effect.orDie
        )
    }
  })
