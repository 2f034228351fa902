import { MongoDatabase } from "@twinbox/mongodb"
import { Key, Slot } from "@twinbox/outbox"
import { TwinRepository } from "@twinbox/repository"
import { Effect } from "effect"
import { ObjectId } from "mongodb"
import * as BenchCustomer from "./BenchCustomer.ts"
import { effectsPerSecond, median, promisesPerSecond, round } from "./Measure.ts"

/** The same three inserts by hand, as the driver's documentation shows transactions. */
export const handWritten = Effect.map(MongoDatabase.MongoDatabase, ({ client, db }) => {
  const customers = db.collection<{ _id: string }>("hand_customers")
  const twins = db.collection<{ _id: string }>("hand_customers_anonymised")
  const outbox = db.collection<{ _id: string }>("outbox")
  return async (n: number) => {
    const original = BenchCustomer.customer(n)
    const _id = new ObjectId().toHexString()
    const twin = BenchCustomer.handMadeTwin(original)
    const key = Key.make("hand", _id)
    const message = {
      _id: globalThis.crypto.randomUUID() as string,
      slot: Slot.ofKey(key),
      key,
      sequence: 1,
      ordinal: 0,
      topic: "customer",
      payload: JSON.stringify({ _id, version: 1, ...twin }),
      headers: { "schema-version": "1" },
      createdAt: new Date(),
      state: "ready"
    }
    const session = client.startSession()
    try {
      await session.withTransaction(
        async () => {
          await customers.insertOne({ _id, version: 1, ...original } as { _id: string }, { session })
          await twins.insertOne({ _id, version: 1, ...twin } as { _id: string }, { session })
          await outbox.insertOne(message, { session })
        },
        { readConcern: { level: "snapshot" }, writeConcern: { w: "majority" }, readPreference: "primary" }
      )
    } finally {
      await session.endSession()
    }
    return _id
  }
})

const repository = (collection: string, groupCommit: boolean) =>
  TwinRepository.make({
    schema: BenchCustomer.BenchCustomer,
    collection,
    topic: BenchCustomer.topic,
    stream: collection,
    key: BenchCustomer.key,
    groupCommit
  })

const warmUpCount = 4_000

export interface CreateResult {
  readonly concurrency: number
  readonly handWrittenPerSecond: number
  readonly createPerSecond: number
  readonly createRatio: number
  readonly groupPerSecond: number
  readonly groupRatio: number
}

/**
 * (a) `create` against the same three inserts by hand, with and without group commit. The three take turns
 * within each round; ratios are medians of the rounds' ratios.
 */
export const run = (rounds: number, scale: number) =>
  Effect.gen(function* () {
    const byHand = yield* handWritten
    const alone = yield* repository("customers", false)
    const grouped = yield* repository("grouped", true)
    const sizeOf = (count: number) => Math.round(count * scale)
    const hand = (count: number, concurrency: number) =>
      Effect.promise(() => promisesPerSecond(sizeOf(count), concurrency, byHand))
    const own = (count: number, concurrency: number) =>
      effectsPerSecond(sizeOf(count), concurrency, (n) => alone.create(BenchCustomer.customer(n)))
    const group = (count: number, concurrency: number) =>
      effectsPerSecond(sizeOf(count), concurrency, (n) => grouped.create(BenchCustomer.customer(n)))

    // A service has been running for a while: let the compiler of the engine see all three first.
    for (const side of [hand, own, group]) yield* side(warmUpCount, 16)

    const results: Array<CreateResult> = []
    for (const concurrency of [1, 8, 64]) {
      const count = concurrency === 1 ? 400 : 1_600
      const samples: Array<readonly [hand: number, own: number, group: number]> = []
      for (let at = 0; at <= rounds; at++) {
        // Who goes first in a round alternates.
        const handFirst = at % 2 === 0
        const first = yield* (handFirst ? hand : own)(count, concurrency)
        const second = yield* (handFirst ? own : hand)(count, concurrency)
        const third = yield* group(concurrency === 64 ? count * 4 : count, concurrency)
        // The first round only warms up.
        if (at > 0) samples.push(handFirst ? [first, second, third] : [second, first, third])
      }
      results.push({
        concurrency,
        handWrittenPerSecond: round(median(samples.map(([byHands]) => byHands))),
        createPerSecond: round(median(samples.map(([, own]) => own))),
        createRatio: round(median(samples.map(([hand, own]) => own / hand)), 3),
        groupPerSecond: round(median(samples.map(([, , group]) => group))),
        groupRatio: round(median(samples.map(([hand, , group]) => group / hand)), 3)
      })
    }
    return results
  }).pipe(Effect.scoped)
