import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { Relay, RemoteWrite, type Sink } from "@twinbox/outbox"
import { RedisMirror, type RedisOutbox, RedisOutboxReader } from "@twinbox/redis"
import { TwinRepository, TwinTopic } from "@twinbox/repository"
import { type Context, Duration, Effect, Random, Schedule, Schema } from "effect"
import { untilDrained } from "./drained.ts"

/* The parts of two-way sync, held back at random and made to be interrupted. */

export const Customer = Schema.Struct({
  name: Schema.String.pipe(Anonymize.pseudonym),
  left: Schema.Int.pipe(Anonymize.keep),
  right: Schema.Int.pipe(Anonymize.keep)
})
export type Customer = typeof Customer.Type

const topic = TwinTopic.anonymized("customer", Customer)
const originalTopic = TwinTopic.original("customer-original", Customer)

export const outboxOptions = {
  stream: "customer",
  indexes: (document: unknown) => ({ name: (document as Partial<Customer> | null)?.name })
}

export const makeRepository = Effect.gen(function* () {
  const key = yield* AnonymizeKey.make({ version: 1, secret: yield* AnonymizeKey.generate })
  return yield* TwinRepository.make({
    schema: Customer,
    collection: "customers",
    topic,
    originalTopic,
    key,
    groupCommit: true
  })
})

export type Repository = Effect.Effect.Success<typeof makeRepository>

/** A pause of random length. */
export const upTo = (millis: number) =>
  Effect.flatMap(Random.nextIntBetween(0, millis + 1), (drawn) => Effect.sleep(Duration.millis(drawn)))

/** Mostly a little, now and then so long that whatever waits for it is interrupted. */
const delay = Effect.flatMap(Random.next, (drawn) => upTo(drawn < 0.05 ? 250 : 12))

const heldBack = <V extends "anonymized" | "original">(sink: Sink.Sink<V>): Sink.Sink<V> => ({
  ...sink,
  deliver: (batch) => Effect.zipRight(delay, sink.deliver(batch))
})

/** Makes something anew, again and again, and interrupts it at random moments. */
export const crashing = <E, R>(run: Effect.Effect<never, E, R>, longestLifeMillis: number) =>
  Effect.forever(
    Effect.race(
      Effect.sandbox(run),
      Effect.flatMap(Random.nextIntBetween(20, longestLifeMillis), (life) => Effect.sleep(life))
    )
  )

export const runRelay = Effect.gen(function* () {
  const twins = yield* RedisMirror.make({ topics: [topic], isNew: yield* RedisMirror.isNew() })
  const originals = yield* RedisMirror.originals({
    topics: [originalTopic],
    isNew: yield* RedisMirror.isNew(RedisMirror.defaultOriginalsName),
    indexes: outboxOptions.indexes
  })
  const relay = yield* Relay.make({
    sinks: [heldBack(twins), heldBack(originals)],
    lease: "1 second",
    drainWithin: 0
  })
  return yield* relay.run
})

export const runReader = Effect.scoped(
  Effect.gen(function* () {
    const remote = yield* RemoteWrite.RemoteWrites
    const slow: Context.Tag.Service<RemoteWrite.RemoteWrites> = {
      ...remote,
      // The longer wait is after the commit: for an interruption there, as if the process had died before Redis could
      // take note, and for what the mirror brings meanwhile.
      apply: (one) => Effect.zipLeft(remote.apply(one), upTo(60))
    }
    const owner = `reader-${yield* Random.nextIntBetween(0, 1_000_000)}`
    const reader = yield* RedisOutboxReader.make({
      ...outboxOptions,
      owner,
      lockFor: "300 millis",
      stopWithin: 0
    }).pipe(Effect.provideService(RemoteWrite.RemoteWrites, slow))
    return yield* reader.run
  })
)

const whileWaiting = Schedule.spaced("20 millis")

/** Waits until MongoDB has decided on all writes, and then until Redis has seen all decisions. */
export const drained = (outbox: RedisOutbox.RedisOutbox) =>
  Effect.gen(function* () {
    yield* Effect.repeat(outbox.depth, { until: (depth) => depth === 0, schedule: whileWaiting })
    yield* untilDrained
  }).pipe(Effect.timeout("40 seconds"))
