import { Key, type Message, Sink, type Topic } from "@twinbox/outbox"
import type { RedisConnection, RedisError } from "@twinbox/redis"
import { Effect } from "effect"
import type { ByteConnection } from "./ByteConnection.ts"
import * as ExportStore from "./ExportStore.ts"

export interface Options<V extends Topic.View> {
  /** What live exports can follow. The view is in the type: original topics need `originals`. */
  readonly topics: ReadonlyArray<Topic.Any<V>>
  /** Name of the sink. Default `defaultName`, for originals `defaultOriginalsName`. */
  readonly name?: string
  /** How many records may wait for the process that writes an export; more end it as FAILED. Default 10,000. */
  readonly maxWaiting?: number
}

/** Name of a sink that is given none. */
export const defaultName = "exports"

/** Name of a sink of originals that is given none. */
export const defaultOriginalsName = "exports-originals"

const defaultMaxWaiting = 10_000

const toSinkError =
  (sink: string) =>
  (cause: RedisError.RedisError): Sink.SinkError =>
    new Sink.SinkError({ sink, reason: cause.retryable ? "Unavailable" : "NotReady", cause })

const recordOf = ({ key, payload, sequence }: Message.Message): ExportStore.LiveRecord => ({
  id: Key.idOf(key),
  version: sequence,
  json: payload
})

const byTopic = (batch: ReadonlyArray<Message.Message>): ReadonlyMap<string, Array<Message.Message>> => {
  const groups = new Map<string, Array<Message.Message>>()
  for (const message of batch) {
    const group = groups.get(message.topic)
    if (group === undefined) groups.set(message.topic, [message])
    else group.push(message)
  }
  return groups
}

const makeNamed = <V extends Topic.View>(options: Options<V>, defaultSinkName: string) =>
  Effect.gen(function* () {
    const name = options.name ?? defaultSinkName
    const maxWaiting = options.maxWaiting ?? defaultMaxWaiting
    const store = yield* ExportStore.make({
      expiryMillis: 1,
      heartbeatLimitMillis: 1,
      runningExpiryMillis: 1
    })

    const deliver = (batch: ReadonlyArray<Message.Message>) =>
      Effect.gen(function* () {
        for (const [topic, messages] of byTopic(batch)) {
          // Who subscribes after this look reads the source later still, and finds there what these messages say.
          const ids = yield* store.subscribers(topic)
          if (ids.length === 0) continue
          const ended = yield* store.offer(topic, ids, messages.map(recordOf), maxWaiting)
          for (const id of ended)
            yield* Effect.logWarning(`export ${id} failed: it could not take live records`)
        }
        return []
      }).pipe(Effect.mapError(toSinkError(name)))

    const sink: Sink.Sink<V> = { name, topics: options.topics, deliver }
    return sink
  })

type Made<V extends Topic.View> = Effect.Effect<
  Sink.Sink<V>,
  never,
  RedisConnection.RedisConnection | ByteConnection
>

/**
 * Makes a sink that hands the messages of anonymized topics to the live exports that follow them. An export that is too
 * slow, or cannot take them, ends as FAILED and holds up nobody; only a Redis that is away makes the relay wait.
 */
export const make = (options: Options<"anonymized">): Made<"anonymized"> => makeNamed(options, defaultName)

/** The same for original topics: personal data, for exports that only users with that permission can start. */
export const originals = (options: Options<"original">): Made<"original"> =>
  makeNamed(options, defaultOriginalsName)
