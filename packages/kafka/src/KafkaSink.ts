import { Backoff, type Message, Sink, type Topic } from "@twinbox/outbox"
import { Duration, Effect, Schedule, type Scope } from "effect"
import { awaitKafka } from "./AwaitKafka.ts"
import * as CloudEvent from "./CloudEvent.ts"
import type { KafkaCluster } from "./KafkaCluster.ts"
import type { KafkaError } from "./KafkaError.ts"
import * as KafkaProducer from "./KafkaProducer.ts"
import * as KafkaRecord from "./KafkaRecord.ts"
import * as KafkaTopics from "./KafkaTopics.ts"
import * as ProduceRound from "./ProduceRound.ts"

/**
 * Why the sink refuses a message. None is tried again, since it would be refused again:
 * - `TooLarge`: with key and headers it is over `maxBatchBytes`, or over what the topic takes;
 * - `Unserializable`: the serializer threw;
 * - `InvalidRecord`: the topic does not take such a record.
 */
export type RejectionReason = "TooLarge" | "Unserializable" | "InvalidRecord"

/** Makes the value of a record. */
export interface Serializer {
  /** Media type of what it makes. */
  readonly contentType: string
  /** Not called for a delete that becomes a tombstone. What it throws makes the message a dead letter. */
  readonly serialize: (message: Message.Message) => Uint8Array
}

export interface Options<V extends Topic.View> {
  /** What is published. The view is in the type: an original topic does not fit an anonymized sink. */
  readonly topics: ReadonlyArray<Topic.Any<V>>
  /** Name of the sink. Default `defaultName`, for originals `defaultOriginalsName`. */
  readonly name?: string
  /** Kafka's topic for one of ours. Default: the same name. */
  readonly topicName?: (topic: string) => string
  /** How topics are made that are not there yet; `false`: not at all. */
  readonly create?: KafkaTopics.TopicSettings | false
  /** Attribute `source` of the CloudEvents, a URI reference. Default `/twinbox`. */
  readonly source?: string
  /** Attribute `type` of the CloudEvents, by the name of our topic. Default: that name. */
  readonly typeOf?: (topic: string) => string
  /** Default: the payload's JSON as it is. */
  readonly serializer?: Serializer
  /**
   * Whether a delete becomes a record without a value, which in the end removes its key from a compacted topic.
   * Default true; false: the value is the JSON text `null`, and the key stays.
   */
  readonly tombstones?: boolean
  /** Default `none`. */
  readonly compression?: KafkaProducer.Compression
  /**
   * The most bytes, before compression, of one partition's records in one request. A message that is larger alone is
   * refused. Default 1,000,000, a little under Kafka's own limit; keep it under `max.message.bytes` of the topics.
   */
  readonly maxBatchBytes?: number
  /** How long a start waits for a Kafka that does not answer. Default 10 seconds. */
  readonly connectWithin?: Duration.DurationInput
}

/** Name of a sink that is given none. */
export const defaultName = "kafka"

/** Name of a sink of originals that is given none. */
export const defaultOriginalsName = "kafka-originals"

const maxRequestBytes = 16 * 1024 * 1024
const defaultMaxBatchBytes = 1_000_000

/** How long what has failed is tried again by itself. */
const suffixLimit = Duration.seconds(3)

const pauses = Backoff.between("50 millis", "500 millis").pipe(Schedule.upTo(suffixLimit))

const json: Serializer = {
  contentType: "application/json",
  serialize: ({ payload }) => Buffer.from(payload ?? "null")
}

const sinkReason = ({ reason }: KafkaError): Sink.SinkErrorReason =>
  // Against the others waiting for an answer does not help.
  reason === "Unavailable" ? "Unavailable" : "NotReady"

/** Errors that are about records, and not about the partition. */
const isOfRecords = ({ reason }: KafkaError): boolean => reason === "TooLarge" || reason === "InvalidRecord"

const rejection = (
  { id: messageId }: Message.Message,
  reason: RejectionReason,
  error: string
): Sink.Rejection => ({ messageId, reason, error, retryable: false })

/** One call of `deliver`. */
interface Delivery {
  /** What Kafka has not taken yet, in order. */
  unsent: ReadonlyArray<KafkaRecord.KafkaRecord>
  /** Whether it has taken anything. */
  hasDelivered: boolean
  readonly rejections: Array<Sink.Rejection>
  /** What was refused, by `orderKey`: nothing that follows is sent. */
  readonly stopped: Set<string>
}

interface Settings {
  readonly name: string
  readonly orderKey: (message: Message.Message) => string
  readonly topicName: (topic: string) => string
  readonly serializer: Serializer
  readonly tombstones: boolean
  readonly headersOf: ReturnType<typeof CloudEvent.headersWith>
  readonly limits: ProduceRound.Limits
}

const refuse = (
  delivery: Delivery,
  settings: Settings,
  message: Message.Message,
  reason: RejectionReason,
  error: string
): void => {
  delivery.rejections.push(rejection(message, reason, error))
  delivery.stopped.add(settings.orderKey(message))
}

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const recordOf = (settings: Settings, message: Message.Message): KafkaRecord.KafkaRecord => {
  const key = Buffer.from(message.key)
  const isTombstone = message.payload === null && settings.tombstones
  const value = isTombstone ? null : bufferOf(settings.serializer.serialize(message))
  return KafkaRecord.make(
    message,
    settings.topicName(message.topic),
    key,
    value,
    settings.headersOf(message, key)
  )
}

/** Makes records of messages. What cannot be one is refused, and what follows it of its key is left out. */
const begin = (settings: Settings, batch: ReadonlyArray<Message.Message>): Delivery => {
  const unsent: Array<KafkaRecord.KafkaRecord> = []
  const delivery: Delivery = { unsent, hasDelivered: false, rejections: [], stopped: new Set() }
  const mostBytes = settings.limits.maxBatchBytes - ProduceRound.batchOverheadBytes
  for (const message of batch) {
    if (delivery.stopped.size > 0 && delivery.stopped.has(settings.orderKey(message))) continue
    try {
      const record = recordOf(settings, message)
      if (record.bytes <= mostBytes) unsent.push(record)
      else {
        const error = `the record takes up to ${record.bytes} bytes, and ${mostBytes} are allowed`
        refuse(delivery, settings, message, "TooLarge", error)
      }
    } catch {
      // What the serializer says may quote the payload.
      refuse(delivery, settings, message, "Unserializable", "the serializer threw")
    }
  }
  return delivery
}

/** Sorts what became of a request: what is refused, what has to be sent again, what in smaller parts. */
const settle = (
  delivery: Delivery,
  settings: Settings,
  round: ReadonlyArray<ProduceRound.Placed>,
  failures: KafkaProducer.Failures
) => {
  const again: Array<ProduceRound.Placed> = []
  const parts: [Array<ProduceRound.Placed>, Array<ProduceRound.Placed>] = [[], []]
  const tooMuch = new Map<string, Array<ProduceRound.Placed>>()
  for (const placed of round) {
    const failure = failures.get(placed.place)
    if (failure === undefined) delivery.hasDelivered = true
    else if (!isOfRecords(failure)) again.push(placed)
    else {
      const group = tooMuch.get(placed.place)
      if (group === undefined) tooMuch.set(placed.place, [placed])
      else group.push(placed)
    }
  }
  for (const [place, group] of tooMuch) {
    const [only] = group
    if (only !== undefined && group.length === 1) {
      const failure = failures.get(place)
      const reason = failure?.reason === "TooLarge" ? "TooLarge" : "InvalidRecord"
      refuse(delivery, settings, only.record.message, reason, `Kafka refused it: ${failure?.detail}`)
    } else {
      const [first, second] = ProduceRound.halves(group)
      parts[0].push(...first)
      parts[1].push(...second)
    }
  }
  return { again, parts: parts.filter((part) => part.length > 0) }
}

const topicsOf = (records: ReadonlyArray<KafkaRecord.KafkaRecord>): ReadonlyArray<string> => [
  ...new Set(records.map(({ topic }) => topic))
]

/**
 * Sends what is unsent. Once a partition has failed, nothing more goes to it; the others go on. Fails when something is
 * left.
 */
const sendUnsent = (producer: KafkaProducer.KafkaProducer, settings: Settings, delivery: Delivery) =>
  Effect.gen(function* () {
    if (delivery.unsent.length === 0) return
    const partitionsOf = yield* producer.partitions(topicsOf(delivery.unsent))
    const pending = ProduceRound.rounds(
      ProduceRound.place(delivery.unsent, partitionsOf),
      settings.limits
    ).toReversed()
    const left: Array<KafkaRecord.KafkaRecord> = []
    const failed = new Map<string, KafkaError>()
    for (let round = pending.pop(); round !== undefined; round = pending.pop()) {
      const sendable: Array<ProduceRound.Placed> = []
      for (const placed of round) {
        if (delivery.stopped.has(settings.orderKey(placed.record.message))) continue
        if (failed.has(placed.place)) left.push(placed.record)
        else sendable.push(placed)
      }
      if (sendable.length === 0) continue
      const failures = yield* producer.send(sendable)
      const { again, parts } = settle(delivery, settings, sendable, failures)
      for (const { place, record } of again) {
        left.push(record)
        const failure = failures.get(place)
        if (failure !== undefined) failed.set(place, failure)
      }
      pending.push(...parts.toReversed())
    }
    delivery.unsent = left
    const [error] = failed.values()
    if (error === undefined) return
    yield* producer.forget
    return yield* error
  })

const isWorthWaiting =
  (delivery: Delivery) =>
  ({ reason, retryable }: KafkaError): boolean =>
    retryable && (delivery.hasDelivered || reason !== "Unavailable")

/**
 * Makes `deliver`. What a partition has not taken while others have taken their part is sent again by itself for a
 * while: given back to the relay, all of it would come again. So is what meets a partition without a leader, which has
 * one again in a moment. A Kafka that is away is left to the relay.
 */
const deliverWith =
  (producer: KafkaProducer.KafkaProducer, settings: Settings) => (batch: ReadonlyArray<Message.Message>) =>
    Effect.suspend(() => {
      const delivery = begin(settings, batch)
      return sendUnsent(producer, settings, delivery).pipe(
        Effect.retry({ schedule: pauses, while: isWorthWaiting(delivery) }),
        Effect.mapBoth({
          onSuccess: () => delivery.rejections,
          onFailure: (cause) => new Sink.SinkError({ sink: settings.name, reason: sinkReason(cause), cause })
        })
      )
    })

const orderKeyOf = (topics: ReadonlyArray<Topic.Any>): Settings["orderKey"] => {
  const unordered = new Set(topics.filter(({ ordered }) => !ordered).map(({ name }) => name))
  return ({ id, key, topic }) => (unordered.has(topic) ? id : key)
}

const makeNamed = <V extends Topic.View>(options: Options<V> & { readonly name: string }) =>
  Effect.gen(function* () {
    const { name, topics } = options
    const topicName = options.topicName ?? ((topic: string) => topic)
    const serializer = options.serializer ?? json
    const names = [...new Set(topics.map((topic) => topicName(topic.name)))]
    const connectWithin = options.connectWithin ?? "10 seconds"
    if (options.create !== false) {
      yield* awaitKafka(connectWithin)(KafkaTopics.ensure(names, options.create ?? {}))
    }
    const producer = yield* KafkaProducer.make(options.compression ?? "none")
    yield* awaitKafka(connectWithin)(Effect.zipRight(producer.partitions(names), producer.init))
    const settings: Settings = {
      name,
      topicName,
      serializer,
      orderKey: orderKeyOf(topics),
      tombstones: options.tombstones ?? true,
      headersOf: CloudEvent.headersWith({
        source: options.source ?? "/twinbox",
        typeOf: options.typeOf ?? ((topic) => topic),
        contentType: serializer.contentType
      }),
      limits: { maxBatchBytes: options.maxBatchBytes ?? defaultMaxBatchBytes, maxRequestBytes }
    }
    const sink: Sink.Sink<V> = { name, topics, deliver: deliverWith(producer, settings) }
    return sink
  })

/**
 * Makes a sink of anonymized topics, and the topics in Kafka that are not there yet. Each message becomes one record of
 * the topic of its name: its key is the message's key, its value the payload, its headers those of a CloudEvent 1.0
 * (see `CloudEvent`) and the message's own.
 *
 * Waits for a Kafka that is not up yet, and fails with `Unavailable` or `NotReady` when `connectWithin` is over, and at
 * once with what waiting does not help against. Afterwards Kafka comes and goes.
 */
export const make = (
  options: Options<"anonymized">
): Effect.Effect<Sink.Sink<"anonymized">, KafkaError, KafkaCluster | Scope.Scope> =>
  makeNamed({ name: defaultName, ...options })

/** Makes a sink of original topics, which brings personal data to Kafka; else like `make`. */
export const originals = (
  options: Options<"original">
): Effect.Effect<Sink.Sink<"original">, KafkaError, KafkaCluster | Scope.Scope> =>
  makeNamed({ name: defaultOriginalsName, ...options })
