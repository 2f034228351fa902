import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Effect, Fiber } from "effect"
import * as BenchOutbox from "./BenchOutbox.ts"
import { inDatabase, type Servers } from "./BenchServers.ts"
import { drainInto, secondsOf } from "./DrainBench.ts"
import { countRecords, makeSender, makeSink, type OutboxDocument } from "./KafkaBenchParts.ts"
import { median, round } from "./Measure.ts"

export interface KafkaDrainResult {
  readonly messages: number
  readonly handWrittenPerSecond: number
  readonly sinkPerSecond: number
  readonly ratio: number
}

const handBatch = 1_000

/** The loop that everybody writes first: pages by _id, send, deleteMany. No order of any kind. */
const drainByHand = (send: (messages: ReadonlyArray<OutboxDocument>) => Promise<unknown>) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.promise(async () => {
      const outbox = db.collection<OutboxDocument>(MongoIndexes.collections.outbox)
      for (let last = ""; ;) {
        const found = await outbox
          .find({ _id: { $gt: last }, key: { $ne: "" } })
          .sort({ _id: 1 })
          .limit(handBatch)
          .toArray()
        if (found.length === 0) return
        last = found.at(-1)?._id ?? last
        await send(found)
        await outbox.deleteMany({ _id: { $in: found.map(({ _id }) => _id) } })
      }
    })
  )

type Side = "hand" | "sink"

const drain = (side: Side, brokers: string, kafkaTopic: string, messages: number) =>
  Effect.gen(function* () {
    if (side === "hand") {
      const send = yield* makeSender(brokers, kafkaTopic)
      return (yield* secondsOf(drainByHand(send)))[0]
    }
    const sink = yield* makeSink(brokers, kafkaTopic)
    const [seconds, running] = yield* secondsOf(drainInto(sink, messages))
    yield* Fiber.interrupt(running)
    return seconds
  })

/** What either side drains in a second, into a topic of its own, in which all has to be afterwards. */
const sample = (side: Side, at: number, messages: number, servers: Servers, brokers: string) => {
  const name = `kafka_drain_${side}_${at}`
  return inDatabase(
    servers,
    name,
    Effect.gen(function* () {
      yield* BenchOutbox.fill(0, messages)
      const seconds = yield* drain(side, brokers, name, messages)
      const arrived = yield* countRecords(brokers, name)
      // Either may send some twice when an answer is late.
      if (arrived < messages) return yield* Effect.dieMessage(`${arrived} of ${messages} are in ${name}`)
      return messages / seconds
    })
  )
}

/** Draining the outbox into Kafka: a relay and its sink against the loop by hand, in turns. */
export const run = (servers: Servers, brokers: string, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const messages = Math.round(50_000 * scale)
    const samples: Array<Record<Side, number>> = []
    for (let at = 0; at <= rounds; at++) {
      const took = { hand: 0, sink: 0 }
      const sides: ReadonlyArray<Side> = at % 2 === 0 ? ["hand", "sink"] : ["sink", "hand"]
      for (const side of sides) took[side] = yield* sample(side, at, messages, servers, brokers)
      // The first round only warms up.
      if (at > 0) samples.push(took)
    }
    const result: KafkaDrainResult = {
      messages,
      handWrittenPerSecond: round(median(samples.map(({ hand }) => hand))),
      sinkPerSecond: round(median(samples.map(({ sink }) => sink))),
      ratio: round(median(samples.map(({ hand, sink }) => sink / hand)), 3)
    }
    return result
  })
