import { Producer, type MessageToProduce } from "@platformatic/kafka"
import { Duration, Effect, Fiber, Schema } from "effect"
import * as KafkaClient from "./KafkaClient.ts"
import { KafkaCluster } from "./KafkaCluster.ts"
import { errorsIn, fromClient, KafkaError, ofName } from "./KafkaError.ts"
import * as ProduceRound from "./ProduceRound.ts"

/** How records are packed. */
export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

/** Partitions that did not take their records, by their places. All others have them, on as many replicas as Kafka wants. */
export type Failures = ReadonlyMap<string, KafkaError>

/** Sends one request after another; idempotent, with `acks=all`. */
export interface KafkaProducer {
  /** Lets Kafka give it its number. It asks again by itself after a failure. */
  readonly init: Effect.Effect<void, KafkaError>
  /** How many partitions each topic has. Fails with `UnknownTopic` when one has none. */
  readonly partitions: (topics: ReadonlyArray<string>) => Effect.Effect<(topic: string) => number, KafkaError>
  /** Sends records of several partitions in one request to each broker. Interrupted, it goes on to its end. */
  readonly send: (round: ReadonlyArray<ProduceRound.Placed>) => Effect.Effect<Failures>
  /** What is known of leaders and partitions may have changed. */
  readonly forget: Effect.Effect<void>
}

const noFailures: Failures = new Map()

/** How long the client relies on what it knows of leaders and partitions, while no error tells it otherwise. */
const metadataMaxAgeMillis = 30_000

type Client = Producer<Buffer, Buffer, Buffer, Buffer>

const open = (cluster: KafkaCluster["Type"], compression: Compression): Client =>
  KafkaClient.guarded(
    new Producer({
      ...cluster.clientOptions(),
      idempotent: true,
      compression,
      // A call as a whole has the limit itself; this one is the second line.
      requestTimeout: 2 * Duration.toMillis(cluster.requestTimeout),
      metadataMaxAge: metadataMaxAgeMillis,
      // Sends what one broker refused to another one, though some of it may belong to a third.
      repeatOnStaleMetadata: false
    })
  )

const close = (client: Client) => KafkaClient.close(() => client.close())

const PartitionResponses = Schema.Struct({
  responses: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      partitionResponses: Schema.Array(Schema.Struct({ index: Schema.Int, errorCode: Schema.Int }))
    })
  )
})

const Produced = Schema.Struct({
  offsets: Schema.optional(Schema.Array(Schema.Struct({ topic: Schema.String, partition: Schema.Int })))
})

const isAnswer = Schema.is(PartitionResponses)
const isProduced = Schema.is(Produced)

interface Telling {
  /** Answers that hold errors: what each partition said. */
  readonly response?: unknown
  /** Answers of other brokers, without errors. */
  readonly produced?: unknown
  /** Where in an answer an error stands: `/responses/0/partition_responses/3`. */
  readonly path?: unknown
}

/** What the client's error says of single partitions. Only what says that it has its records, has them. */
const failuresOf = (error: unknown, round: ReadonlyArray<ProduceRound.Placed>, brokers: string): Failures => {
  const delivered = new Set<string>()
  const told = new Map<string, KafkaError>()
  for (const one of errorsIn(error) as ReadonlyArray<Error & Telling>) {
    if (isProduced(one.produced)) {
      for (const { partition, topic } of one.produced.offsets ?? []) {
        delivered.add(ProduceRound.placeOf(topic, partition))
      }
    }
    if (!isAnswer(one.response)) continue
    const names = new Map(
      errorsIn(one).flatMap((inner: Error & Telling & { readonly apiId?: unknown }) =>
        typeof inner.path === "string" && typeof inner.apiId === "string"
          ? [[inner.path, inner.apiId] as const]
          : []
      )
    )
    for (const [at, { name, partitionResponses }] of one.response.responses.entries()) {
      for (const [index, answer] of partitionResponses.entries()) {
        const place = ProduceRound.placeOf(name, answer.index)
        const path = `/responses/${at}/partition_responses/${index}`
        if (answer.errorCode === 0) delivered.add(place)
        else told.set(place, ofName(names.get(path) ?? "UNKNOWN_SERVER_ERROR", brokers))
      }
    }
  }
  const general = fromClient(error, brokers)
  const failures = new Map<string, KafkaError>()
  for (const { place } of round) {
    const own = told.get(place)
    if (own !== undefined) failures.set(place, own)
    else if (!delivered.has(place)) failures.set(place, general)
  }
  return failures
}

const toMessage = ({
  partition,
  record
}: ProduceRound.Placed): MessageToProduce<Buffer, Buffer, Buffer, Buffer> => ({
  topic: record.topic,
  partition,
  key: record.key,
  // Null deletes the key of a compacted topic; the client's types know of no such value.
  value: record.value as Buffer,
  headers: record.headers
})

/** Opens connections when they are needed, and closes them at the end of the scope. */
export const make = (compression: Compression) =>
  Effect.gen(function* () {
    const cluster = yield* KafkaCluster
    const { brokers } = cluster
    const gate = yield* Effect.makeSemaphore(1)
    let client = open(cluster, compression)
    yield* Effect.addFinalizer(() => close(client))

    const takesTooLong = new KafkaError({ reason: "Unavailable", brokers, detail: "no answer in time" })

    /**
     * A call that does not end is given up together with its client: nothing piles up in it. Its limit is a timer of its
     * own, since `Effect.timeout` would fork two fibers for each message that comes alone.
     */
    const call = <A>(use: (client: Client) => Promise<A>): Effect.Effect<A, unknown> =>
      Effect.async<A, unknown>((resume) => {
        const used = client
        const giveUp = Effect.suspend(() => {
          if (client === used) client = open(cluster, compression)
          return Effect.zipRight(close(used), Effect.fail(takesTooLong))
        })
        const timer = setTimeout(() => resume(giveUp), Duration.toMillis(cluster.requestTimeout))
        const end = (result: Effect.Effect<A, unknown>) => {
          clearTimeout(timer)
          resume(result)
        }
        const attempt = async () => use(used)
        attempt().then(
          (answer) => end(Effect.succeed(answer)),
          (error: unknown) => end(Effect.fail(error))
        )
        return Effect.sync(() => clearTimeout(timer))
      })

    const typed = (error: unknown) => (error instanceof KafkaError ? error : fromClient(error, brokers))

    const ask = <A>(use: (client: Client) => Promise<A>) => Effect.mapError(call(use), typed)

    const partitions: KafkaProducer["partitions"] = (topics) =>
      Effect.map(
        ask((client) => client.metadata({ topics: [...topics] })),
        (metadata) => (topic) => metadata.topics.get(topic)?.partitionsCount ?? 1
      )

    const sendNow = (round: ReadonlyArray<ProduceRound.Placed>): Effect.Effect<Failures> =>
      call((client) => client.send({ messages: round.map(toMessage) })).pipe(
        Effect.as(noFailures),
        Effect.catchAll((error) =>
          Effect.succeed(
            error instanceof KafkaError
              ? new Map(round.map(({ place }) => [place, error]))
              : failuresOf(error, round, brokers)
          )
        )
      )

    /** The next request waits for the end of one that was interrupted: it must not overtake it. */
    const send: KafkaProducer["send"] = (round) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.zipRight(
          restore(gate.take(1)),
          Effect.flatMap(
            Effect.forkDaemon(Effect.ensuring(Effect.interruptible(sendNow(round)), gate.release(1))),
            (fiber) => restore(Fiber.join(fiber))
          )
        )
      )

    return {
      init: Effect.asVoid(ask((client) => client.initIdempotentProducer({}))),
      partitions,
      send,
      forget: Effect.sync(() => client.clearMetadata())
    } satisfies KafkaProducer
  })
