import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Key, OutboxStore, Slot } from "@twinbox/outbox"
import { Effect, Schedule } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import { within } from "./TimeLimit.ts"

/** Records of one insert. */
const chunkSize = 5_000

const lookEvery = Schedule.spaced("50 millis")

/** Ready, or behind for one sink. */
type State =
  { readonly state: "ready" } | { readonly state: "behind"; readonly behind: ReadonlyArray<string> }

const record = (n: number, payload: string, state: State) => {
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
    ...state
  }
}

const payload = JSON.stringify({ version: 1, ...BenchCustomer.handMadeTwin(BenchCustomer.customer(1)) })

const collection = Effect.map(MongoDatabase.MongoDatabase, ({ db }) =>
  db.collection<{ _id: string }>(MongoIndexes.collections.outbox)
)

const insert = (first: number, count: number, state: State) =>
  Effect.flatMap(collection, (outbox) =>
    Effect.promise(async () => {
      for (let at = 0; at < count; at += chunkSize) {
        const size = Math.min(chunkSize, count - at)
        await outbox.insertMany(
          Array.from({ length: size }, (_, n) => record(first + at + n, payload, state))
        )
      }
    })
  )

/** Puts the message of one customer into the outbox: no more than the driver, so that who measures takes little himself. */
export const writer = Effect.map(
  collection,
  (outbox) => (n: number) => outbox.insertOne(record(n, payload, { state: "ready" }))
)

/** Puts messages of `count` customers, numbered from `first`, into the outbox as fast as the server takes them. */
export const fill = (first: number, count: number) => insert(first, count, { state: "ready" })

/** The same as messages that every sink but one has. */
export const fillBehind = (first: number, count: number, sink: string) =>
  insert(first, count, { state: "behind", behind: [sink] })

/** How many messages a sink is owed. */
export const owes = (sink: string) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.promise(() =>
      db.collection(MongoIndexes.collections.outbox).countDocuments({ state: "behind", behind: sink })
    )
  )

/** Waits until the outbox is empty. */
export const emptied = Effect.flatMap(OutboxStore.OutboxStore, ({ depth }) =>
  Effect.repeat(Effect.orDie(depth), { until: (messages) => messages === 0, schedule: lookEvery })
).pipe(within("10 minutes", "the outbox was empty"))
