import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoOutbox, Transaction } from "@twinbox/mongodb"
import { Effect, Layer, Redacted } from "effect"
import { testMongo } from "../../../test/setup/testServers.ts"
import { ada, makeCustomers, newId } from "./testRepository.ts"

const watched = Layer.unwrapScoped(
  Effect.map(testMongo, ({ database, uri }) =>
    MongoOutbox.layer({
      uri: Redacted.make(`${uri}${uri.includes("?") ? "&" : "?"}monitorCommands=true`),
      database
    })
  )
)

/** Commands that a client sends while an effect runs. */
const commandsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { client } = yield* MongoDatabase.MongoDatabase
    const names: Array<string> = []
    const note = ({ commandName }: { readonly commandName: string }) => void names.push(commandName)
    client.on("commandStarted", note)
    yield* Effect.ensuring(
      effect,
      Effect.sync(() => client.off("commandStarted", note))
    )
    return names
  })

const commands = (names: string) => names.split(" ")

describe("The round trips of a write", () => {
  it.scopedLive("are as few as its README says", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create(ada)
      const chosen = newId()
      expect(yield* commandsOf(customers.create(ada))).toEqual(
        commands("insert insert insert commitTransaction")
      )
      expect(yield* commandsOf(customers.create({ ...ada, _id: chosen }))).toEqual(
        commands("find find insert insert insert commitTransaction")
      )
      expect(yield* commandsOf(customers.createMany(Array.from({ length: 300 }, () => ada)))).toEqual(
        commands("insert insert insert commitTransaction")
      )
      expect(yield* commandsOf(customers.update(_id, { visits: 1 }))).toEqual(
        commands("aggregate update update insert commitTransaction")
      )
      expect(yield* commandsOf(customers.update(_id, { visits: 1 }))).toEqual(
        commands("aggregate commitTransaction")
      )
      expect(yield* commandsOf(customers.delete(chosen))).toEqual(
        commands("aggregate delete delete update insert commitTransaction")
      )
      expect(yield* commandsOf(customers.create({ ...ada, _id: chosen }))).toEqual(
        commands("find find insert insert delete insert commitTransaction")
      )
      expect(
        yield* commandsOf(Transaction.run(Effect.zip(customers.create(ada), customers.create(ada))))
      ).toEqual(commands("insert insert insert insert insert insert commitTransaction"))
    }).pipe(Effect.provide(watched))
  )

  it.scopedLive("are shared by what fibers of one transaction write at the same time", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const saved = yield* customers.createMany(Array.from({ length: 20 }, () => ada))
      const change = ({ _id }: { readonly _id: string }) => customers.update(_id, { visits: 1 })
      const inParallel = { concurrency: "unbounded", discard: true } as const
      expect(yield* commandsOf(Transaction.run(Effect.forEach(saved, change, inParallel)))).toEqual(
        commands("aggregate update update insert commitTransaction")
      )
    }).pipe(Effect.provide(watched))
  )

  it.scopedLive("are shared by a group, whatever kinds of writes it holds and in whatever order", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: { concurrency: 1 } })
      const saved = yield* customers.createMany(Array.from({ length: 120 }, () => ada))
      const sent = yield* commandsOf(
        Effect.all(
          saved.map(({ _id }, at) => {
            if (at % 3 === 0) return customers.create(ada)
            return at % 3 === 1 ? customers.update(_id, { visits: 1 }) : customers.delete(_id)
          }),
          { concurrency: "unbounded", discard: true }
        )
      )
      expect(sent).toEqual(
        commands("aggregate delete update insert delete update insert update insert commitTransaction")
      )
    }).pipe(Effect.provide(watched))
  )
})
