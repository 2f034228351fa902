import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Key, Slot } from "@twinbox/outbox"
import { Effect } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"

/** Records of one insert. */
const chunkSize = 5_000

const record = (n: number, payload: string) => {
  const key = Key.make("customer", String(n))
  return {
    _id: globalThis.crypto.randomUUID() as string,
    slot: Slot.ofKey(key),
    key,
    sequence: 1,
    ordinal: 0,
    topic: BenchCustomer.topic.name,
    payload,
    headers: { "schema-version": "1" },
    createdAt: new Date(),
    state: "ready"
  }
}

/** Puts messages of `count` customers, numbered from `first`, into the outbox as fast as the server takes them. */
export const fill = (first: number, count: number) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.promise(async () => {
      const outbox = db.collection<{ _id: string }>(MongoIndexes.collections.outbox)
      const payload = JSON.stringify({ version: 1, ...BenchCustomer.handMadeTwin(BenchCustomer.customer(1)) })
      for (let at = 0; at < count; at += chunkSize) {
        const size = Math.min(chunkSize, count - at)
        await outbox.insertMany(Array.from({ length: size }, (_, n) => record(first + at + n, payload)))
      }
    })
  )
