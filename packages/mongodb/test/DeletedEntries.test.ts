import { expect, it } from "@effect/vitest"
import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Key, Slot } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Logger, LogLevel, Redacted } from "effect"
import type { Db } from "mongodb"
import { ownMongo } from "../../../test/setup/ownMongo.ts"
import { commit, processOn } from "./storeFixture.ts"

/** Keeps deleted index entries for as long as MongoDB does by default. */
const mongoWithHistory = ownMongo({ snapshotHistorySeconds: 300 })

const delivered = 4_000

const messages = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) =>
    MessageFixture.make({ key: Key.make("customer", String(first + at)) })
  )

/** Deleted entries that cursors on the index of ids have walked over so far, by WiredTiger's own count. */
const walkedOver = (db: Db) =>
  Effect.promise(async () => {
    const { indexDetails } = await db.command({ collStats: "outbox", indexDetails: true })
    const { cursor } = (indexDetails as { readonly _id_: { readonly cursor: Record<string, number> } })._id_
    const count = (direction: string) =>
      cursor[`Total number of entries skipped by cursor ${direction} calls`] ?? Number.NaN
    return count("next") + count("prev")
  })

it.scopedLive("A delete of what was delivered walks over few of the entries deleted before", () =>
  Effect.gen(function* () {
    const { uri } = yield* mongoWithHistory
    const database = yield* MongoDatabase.make({ uri: Redacted.make(uri), database: "test" })
    yield* Effect.provideService(MongoIndexes.ensure, MongoDatabase.MongoDatabase, database)
    const relay = yield* processOn(database)
    const before = messages(0, delivered)
    yield* commit(relay, before)
    yield* relay.store.confirm(before)

    const next = messages(delivered, 8)
    yield* commit(relay, next)
    const walked = yield* walkedOver(database.db)
    yield* relay.store.confirm(next)
    const perMessage = ((yield* walkedOver(database.db)) - walked) / next.length
    // Those between two sentinels, to both sides, and three times as many as there are on average.
    expect(perMessage).toBeLessThan((3 * 2 * delivered) / Slot.count)
    expect((yield* relay.store.stats).ready).toBe(0)
  }).pipe(Logger.withMinimumLogLevel(LogLevel.Warning))
)
