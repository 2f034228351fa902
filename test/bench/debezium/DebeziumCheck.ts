import { isDeepStrictEqual } from "node:util"
import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { TwinRepository } from "@twinbox/repository"
import { Effect, Schedule } from "effect"
import { type ReadRecord, readTopic } from "../../../packages/kafka/test/topicReader.ts"
import * as BenchCustomer from "../BenchCustomer.ts"
import * as BenchOutbox from "../BenchOutbox.ts"
import { within } from "../TimeLimit.ts"
import type { Contender } from "./Contender.ts"
import * as FirstMessage from "./FirstMessage.ts"
import * as TopicArrivals from "./TopicArrivals.ts"

/** What was looked at, and what was found wrong with it. */
export interface Finding {
  readonly what: string
  readonly faults: ReadonlyArray<string>
}

const customers = 20

/** Keys of messages that only show that Debezium has begun: few, with numbers from 1 on. */
const isProbe = (key: string) => /\/\d{1,6}$/.test(key)

/** A number that no probe has. */
const putBackNumber = 1_000_000

/** Creates, updates and deletes, some of them with a trace: three messages of each customer. */
const writeAll = Effect.gen(function* () {
  const repository = yield* TwinRepository.make({
    schema: BenchCustomer.BenchCustomer,
    collection: "customers",
    topic: BenchCustomer.topic,
    key: BenchCustomer.key
  })
  for (let n = 0; n < customers; n++) {
    const { _id } = yield* repository.create(BenchCustomer.customer(n))
    yield* Effect.withSpan(repository.update(_id, { lastName: `Öberg ${n}` }), "update")
    yield* repository.delete(_id)
  }
  return customers * 3
})

/** Inserts that are not for Kafka: a record that is no message, and a message that is put back for another sink. */
const insertOthers = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const outbox = db.collection(MongoIndexes.collections.outbox)
  yield* Effect.promise(async () => {
    const sentinel = await outbox.findOneAndDelete({ key: "" })
    if (sentinel !== null) await outbox.insertOne(sentinel)
  })
  yield* BenchOutbox.fillBehind(putBackNumber, 1, "another")
  yield* Effect.promise(() => outbox.deleteOne({ state: "behind" }))
})

/** Reads a topic as soon as it has as many records as were written. */
const readAll = (brokers: string, { kafkaTopic }: Contender, count: number) =>
  readTopic(brokers, kafkaTopic).pipe(
    Effect.map((records) => records.filter(({ key }) => !isProbe(key))),
    Effect.filterOrFail(({ length }) => length >= count),
    Effect.retry(Schedule.spaced("200 millis")),
    Effect.orDie,
    within("30 seconds", `${count} records were in ${kafkaTopic}`)
  )

const idOf = ({ headers }: ReadRecord) => headers["ce_id"] ?? ""

const byId = (records: ReadonlyArray<ReadRecord>) => new Map(records.map((record) => [idOf(record), record]))

/** The router adds the id under this name by itself. */
const routersOwn = "id"

/** A header that the outbox has no value for stands there without one, which means nothing to a consumer. */
const headersOf = ({ headers }: ReadRecord) =>
  Object.fromEntries(Object.entries(headers).filter(([name, value]) => name !== routersOwn && value !== ""))

/** One aspect of all records, by the relay and by Debezium. */
const same = (
  what: string,
  relay: ReadonlyArray<ReadRecord>,
  debezium: ReadonlyArray<ReadRecord>,
  aspect: (record: ReadRecord) => unknown
): Finding => {
  const found = byId(debezium)
  const faults = relay.flatMap((one) => {
    const other = found.get(idOf(one))
    if (other === undefined || isDeepStrictEqual(aspect(one), aspect(other))) return []
    return [`${JSON.stringify(aspect(one))} by Twinbox, ${JSON.stringify(aspect(other))} by Debezium`]
  })
  return { what, faults }
}

const sameMessages = (
  relay: ReadonlyArray<ReadRecord>,
  debezium: ReadonlyArray<ReadRecord>,
  written: number
): Finding => {
  const [ours, theirs] = [byId(relay), byId(debezium)]
  return {
    what: "each message is there once, and nothing else",
    faults: [
      ...(ours.size === written ? [] : [`Twinbox brought ${ours.size} of ${written}`]),
      ...(debezium.length === written
        ? []
        : [`Debezium brought ${debezium.length} records for ${written} messages`]),
      ...[...ours.keys()].filter((id) => !theirs.has(id)).map((id) => `${id} is not by Debezium`),
      ...[...theirs.keys()].filter((id) => !ours.has(id)).map((id) => `${id} is by Debezium only`)
    ]
  }
}

const inOrder = (records: ReadonlyArray<ReadRecord>): Finding => {
  const last = new Map<string, string>()
  const faults = records.flatMap(({ headers, key }) => {
    const sequence = headers["ce_sequence"] ?? ""
    const before = last.get(key) ?? ""
    last.set(key, sequence)
    return sequence > before ? [] : [`${key}: '${sequence}' came after '${before}'`]
  })
  return { what: "sequences of each key rise", faults }
}

/**
 * Lets a relay and Debezium bring the same outbox to Kafka at the same time, while the relay deletes what it has
 * delivered, and compares the records of both.
 */
export const run = (relay: Contender, debezium: Contender, brokers: string) =>
  Effect.gen(function* () {
    const arrivals = yield* TopicArrivals.follow(brokers, debezium.kafkaTopic)
    let next = 1
    yield* FirstMessage.arrived(arrivals, () => next++)
    yield* insertOthers
    const written = yield* writeAll
    yield* relay.settled
    const ours = yield* readAll(brokers, relay, written)
    const theirs = yield* readAll(brokers, debezium, written)
    const findings: ReadonlyArray<Finding> = [
      sameMessages(ours, theirs, written),
      inOrder(theirs),
      same("key", ours, theirs, ({ key }) => key),
      same("value, none for a delete", ours, theirs, ({ value }) => value),
      same("partition", ours, theirs, ({ partition }) => partition),
      same("headers, but for the router's own 'id'", ours, theirs, headersOf)
    ]
    return findings
  })

/** A line for each finding. */
export const toText = (findings: ReadonlyArray<Finding>): string =>
  findings
    .map(({ faults, what }) =>
      faults.length === 0
        ? `same    ${what}`
        : `DIFFERS ${what}: ${faults.length} times, the first: ${faults[0]}`
    )
    .join("\n")

export const isWell = (findings: ReadonlyArray<Finding>): boolean =>
  findings.every(({ faults }) => faults.length === 0)
