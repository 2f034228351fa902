import { describe, expect, it } from "@effect/vitest"
import { Key, Slot } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect } from "effect"
import type { Document } from "mongodb"
import { anotherProcess, commandsOf, freshProcess, type Process } from "./storeFixture.ts"

const messagesOfKey = 20

/** Records of so many keys as the store writes them, in any state. */
const records = (stream: string, keys: number, fields: Document): ReadonlyArray<Document> =>
  Array.from({ length: keys }, (_, id) => MessageFixture.ofKey(Key.make(stream, String(id)), messagesOfKey))
    .flat()
    .map(({ createdAt, id, ...message }) => ({
      ...message,
      _id: id,
      createdAt: new Date(createdAt),
      ...fields
    }))

const insert = ({ database: { db } }: Process, documents: ReadonlyArray<Document>) =>
  Effect.promise(() => db.collection("outbox").insertMany([...documents], { ordered: false }))

/** What the server examines for a command that a process sent, run to its end. */
const examined = ({ database: { db } }: Process, command: Document | undefined) =>
  Effect.promise(async () => {
    const { filter, find, hint, sort } = command ?? {}
    const plan = await db.command({ explain: { find, filter, hint, sort }, verbosity: "executionStats" })
    const { nReturned, totalDocsExamined, totalKeysExamined } = plan["executionStats"] as Record<
      string,
      number
    >
    return { nReturned, totalDocsExamined, totalKeysExamined } as Record<string, number>
  })

const isRead = (command: Document): boolean => command["find"] === "outbox"

/** A little is examined in vain: where the read steps over a slot or a key. */
const expectFrugal = (stats: Record<string, number>, returned: number) => {
  expect(stats["nReturned"]).toBe(returned)
  expect(stats["totalKeysExamined"]).toBeLessThanOrEqual(returned * 1.2)
  expect(stats["totalDocsExamined"]).toBeLessThanOrEqual(returned * 1.2)
}

const half = Slot.all.filter((slot) => slot % 2 === 1)

const inHalf = (stream: string, keys: number): number =>
  Array.from({ length: keys }, (_, id) => Slot.ofKey(Key.make(stream, String(id)))).filter((slot) =>
    half.includes(slot)
  ).length * messagesOfKey

describe("The reads of a relay", () => {
  it.scopedLive("examine little more than they return, of 20,000 ready and 20,000 behind", () =>
    Effect.gen(function* () {
      const fresh = yield* freshProcess()
      const watched = yield* anotherProcess(fresh.database)
      const { store } = watched
      yield* insert(watched, records("ready", 1_000, { state: "ready" }))
      yield* insert(watched, records("behind", 1_000, { state: "behind", behind: ["mirror", "kafka"] }))
      const commandOf = <E, R>(
        open: Effect.Effect<{ readonly next: Effect.Effect<unknown, unknown> }, E, R>
      ) =>
        Effect.map(
          commandsOf(
            watched,
            Effect.flatMap(open, ({ next }) => next)
          ),
          (commands) => commands.find(isRead)
        )
      const ready = yield* commandOf(store.readReady({ slots: Slot.all }))
      expectFrugal(yield* examined(watched, ready), 20_000 + Slot.count)
      const some = yield* commandOf(store.readReady({ slots: half }))
      expectFrugal(yield* examined(watched, some), inHalf("ready", 1_000) + half.length)

      const without = Array.from({ length: 100 }, (_, at) => Key.make("behind", String(at * 10)))
      const all = { sink: "mirror", slots: Slot.all, without }
      expectFrugal(yield* examined(watched, yield* commandOf(store.readBehind(all))), 18_000)
      const left = without.filter((key) => half.includes(Slot.ofKey(key))).length * messagesOfKey
      expectFrugal(
        yield* examined(watched, yield* commandOf(store.readBehind({ ...all, slots: half }))),
        inHalf("behind", 1_000) - left
      )
    })
  )

  it.scopedLive("look at one scheduled message to tell whether any is due, of 20,000", () =>
    Effect.gen(function* () {
      const fresh = yield* freshProcess()
      const watched = yield* anotherProcess(fresh.database)
      const { database, store } = watched
      const soon = { state: "scheduled", availableAt: new Date(1_000) }
      const late = { state: "scheduled", availableAt: new Date(4_000_000_000_000) }
      yield* insert(watched, records("late", 500, late))
      yield* store.join("relay-a", 5_000)
      const keysExamined = Effect.gen(function* () {
        const commands = yield* commandsOf(watched, store.beat("relay-a", false))
        const { aggregate, pipeline } = commands.find((command) => command["aggregate"] !== undefined) ?? {}
        const plan = yield* Effect.promise(() =>
          database.db.command({
            explain: { aggregate, pipeline, cursor: {} },
            verbosity: "executionStats"
          })
        )
        const union = (plan["stages"] as ReadonlyArray<Document>).at(-1)?.["$unionWith"] as Document
        const [cursor] = union["pipeline"] as ReadonlyArray<Document>
        return (cursor?.["$cursor"] as Document | undefined)?.["executionStats"] as Document
      })
      const idle = yield* keysExamined
      expect(idle["nReturned"]).toBe(0)
      expect(idle["totalKeysExamined"]).toBeLessThanOrEqual(1)
      yield* insert(watched, records("soon", 500, soon))
      const due = yield* keysExamined
      expect(due["nReturned"]).toBe(1)
      expect(due["totalKeysExamined"]).toBeLessThanOrEqual(2)
    })
  )
})
