import { expect } from "@effect/vitest"
import { type Message, MessageHeaders } from "@twinbox/outbox"
import { Effect } from "effect"
import { ada, headersOf, makeCustomers, newId, originalTopic, suite } from "./testRepository.ts"

const schemaVersion = { "schema-version": "1" }

suite("The headers given around a save", (it) => {
  for (const groupCommit of [false, true]) {
    const name = groupCommit ? "in a group" : "in a transaction of its own"

    it.scoped(`${name} go with its messages, each those of its own caller and no others`, () =>
      Effect.gen(function* () {
        // Made under headers, as by a caller that is the first: what works for everybody must not keep them.
        const customers = yield* MessageHeaders.locally({ made: "1" })(
          makeCustomers({ groupCommit, originalTopic })
        )
        const ids = Array.from({ length: 9 }, newId)
        const given = (at: number): Message.Headers => {
          if (at % 3 === 0) return {}
          return at % 3 === 1 ? { [`h${at}`]: "1" } : { position: `${at}` }
        }
        yield* Effect.forEach(
          ids,
          (_id, at) => MessageHeaders.locally(given(at))(customers.create({ ...ada, _id })),
          { concurrency: "unbounded" }
        )
        for (const [at, id] of ids.entries()) {
          const headers = { ...given(at), ...schemaVersion }
          expect(yield* headersOf(id)).toEqual([headers, headers])
        }
      })
    )

    it.scoped(`${name} go with updates and deletes, too`, () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ groupCommit })
        const { _id } = yield* customers.create(ada)
        yield* MessageHeaders.locally({ by: "update" })(customers.update(_id, { visits: 1 }))
        yield* MessageHeaders.locally({ by: "delete" })(customers.delete(_id))
        expect((yield* headersOf(_id)).map(({ by }) => by)).toEqual([undefined, "update", "delete"])
      })
    )
  }

  it.scoped("of several documents at once go with all of their messages", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const ids = [newId(), newId()]
      yield* MessageHeaders.locally({ a: "1" })(customers.createMany(ids.map((_id) => ({ ...ada, _id }))))
      for (const id of ids) expect(yield* headersOf(id)).toEqual([{ a: "1", ...schemaVersion }])
    })
  )
})
