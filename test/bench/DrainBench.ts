import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Key, Relay, type Sink } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { Duration, Effect, Fiber, Schedule } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import * as BenchOutbox from "./BenchOutbox.ts"
import { layerOf, type Servers } from "./BenchServers.ts"
import { median, round } from "./Measure.ts"

export interface DrainResult {
  readonly messages: number
  readonly handWrittenPerSecond: number
  readonly relayPerSecond: number
  readonly ratio: number
}

const handBatch = 1_000

/** The loop that everybody writes first: find 1000, pipeline, deleteMany. No order, no guard against older versions. */
const drainByHand = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const redis = yield* RedisConnection.RedisConnection
  const outbox = db.collection<{ _id: string; key: string; sequence: number; payload: string }>(
    MongoIndexes.collections.outbox
  )
  for (;;) {
    const found = yield* Effect.promise(() =>
      outbox
        .find({ key: { $ne: "" } })
        .limit(handBatch)
        .toArray()
    )
    if (found.length === 0) return
    yield* redis.pipeline(
      found.map(({ key, payload, sequence }) => [
        "HSET",
        `hand:${Key.idOf(key)}`,
        "version",
        String(sequence),
        "json",
        payload
      ])
    )
    yield* Effect.promise(() => outbox.deleteMany({ _id: { $in: found.map(({ _id }) => _id) } }))
  }
})

/** Runs a relay into a sink until nothing is left of `messages`. */
export const drainInto = (sink: Sink.Sink<"anonymized">, messages: number) =>
  Effect.gen(function* () {
    let delivered = 0
    const counting = {
      ...sink,
      deliver: (batch: Parameters<typeof sink.deliver>[0]) =>
        Effect.tap(sink.deliver(batch), () => Effect.sync(() => (delivered += batch.length)))
    }
    const relay = yield* Relay.make({ sinks: [counting] })
    const running = yield* Effect.fork(relay.run)
    yield* Effect.repeat(relay.status, {
      until: ({ inFlight }) => delivered >= messages && inFlight === 0,
      schedule: everyMillisecond
    })
    return running
  })

/** The same into a Redis mirror. */
export const drainByRelay = (messages: number) =>
  Effect.flatMap(RedisMirror.make({ topics: [BenchCustomer.topic], isNew: true }), (mirror) =>
    drainInto(mirror, messages)
  )

const everyMillisecond = Schedule.spaced("1 millis")

export const secondsOf = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(work), ([took, value]) => [Duration.toSeconds(took), value] as const)

const sample = (side: "hand" | "relay", messages: number, servers: Servers, database: string) =>
  Effect.gen(function* () {
    yield* BenchOutbox.fill(0, messages)
    if (side === "hand") return messages / (yield* secondsOf(drainByHand))[0]
    const [seconds, running] = yield* secondsOf(drainByRelay(messages))
    yield* Fiber.interrupt(running)
    return messages / seconds
  }).pipe(Effect.provide(layerOf(servers.mongoUri, database, servers.redisUrl)))

/** (b) Draining the outbox into Redis: a relay against the loop by hand, each on a fresh database, in turns. */
export const run = (servers: Servers, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const messages = Math.round(50_000 * scale)
    const samples: Array<readonly [hand: number, relay: number]> = []
    for (let at = 0; at <= rounds; at++) {
      const hand = yield* sample("hand", messages, servers, `drain_hand_${at}`)
      const relay = yield* sample("relay", messages, servers, `drain_relay_${at}`)
      if (at > 0) samples.push([hand, relay])
    }
    const result: DrainResult = {
      messages,
      handWrittenPerSecond: round(median(samples.map(([hand]) => hand))),
      relayPerSecond: round(median(samples.map(([, relay]) => relay))),
      ratio: round(median(samples.map(([hand, relay]) => relay / hand)), 3)
    }
    return result
  })
