import { expect } from "@effect/vitest"
import { TraceContext } from "@twinbox/outbox"
import { Effect, Option, type Tracer } from "effect"
import { ada, collection, makeCustomers, newId, originalTopic, suite } from "./testRepository.ts"

interface Headed {
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
}

/** The traces of an id's messages, in their order. */
const tracesOf = (id: string) =>
  Effect.flatMap(collection("outbox"), (outbox) =>
    Effect.promise(async () => {
      const found = await outbox
        .find({ key: `customer/${id}` })
        .sort({ sequence: 1, ordinal: 1 })
        .toArray()
      return (found as unknown as ReadonlyArray<Headed>).map(({ headers }) => headers["traceparent"])
    })
  )

const traceOf = (span: Tracer.AnySpan) => Option.getOrThrow(TraceContext.toTraceparent(span))

/** Runs an effect in a span of its own, and tells which. */
const inSpan = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.zip(effect, Effect.map(Effect.orDie(Effect.currentSpan), traceOf)).pipe(Effect.withSpan("save"))

suite("The trace of a save", (it) => {
  for (const groupCommit of [false, true]) {
    const name = groupCommit ? "in a group" : "in a transaction of its own"

    it.scoped(`${name} goes with its messages, each that of its own caller`, () =>
      Effect.gen(function* () {
        // Made in a span, as at the start of a program: what works for everybody must not keep it.
        const customers = yield* Effect.withSpan(makeCustomers({ groupCommit, originalTopic }), "start")
        const ids = Array.from({ length: 9 }, newId)
        const saves = yield* Effect.forEach(
          ids,
          (_id, at) => {
            const save = customers.create({ ...ada, _id })
            return at % 3 === 0 ? Effect.as(save, undefined) : Effect.map(inSpan(save), ([, trace]) => trace)
          },
          { concurrency: "unbounded" }
        )
        expect(new Set(saves).size).toBe(7)
        for (const [at, id] of ids.entries()) expect(yield* tracesOf(id)).toEqual([saves[at], saves[at]])
        const [id] = ids as [string]
        const [, updating] = yield* inSpan(customers.update(id, { visits: 1 }))
        const [, deleting] = yield* inSpan(customers.delete(id))
        expect(yield* tracesOf(id)).toEqual([undefined, undefined, updating, updating, deleting, deleting])
      })
    )
  }
})
