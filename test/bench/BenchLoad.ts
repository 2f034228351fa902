import { TwinRepository } from "@twinbox/repository"
import { Effect, Fiber } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import { isSampled, nowMillis } from "./RelayProtocol.ts"

/** Writers at once: as many as keep the database busy. */
const writers = 64

/** Customers that are saved all the time. */
export interface Load {
  readonly saved: () => number
  /** When saves of sampled ids were acknowledged, by `nowMillis`. */
  readonly acknowledged: ReadonlyMap<string, number>
  /** Every id that was saved; only kept where asked for. */
  readonly ids: ReadonlyArray<string>
  /** Ends it, and waits for the last saves. */
  readonly stop: Effect.Effect<void>
}

export interface Options {
  readonly groupCommit: boolean
  readonly keepsIds?: boolean
}

/** Starts saving, until `stop` or the end of the scope. */
export const start = ({ groupCommit, keepsIds = false }: Options) =>
  Effect.gen(function* () {
    const repository = yield* TwinRepository.make({
      schema: BenchCustomer.BenchCustomer,
      collection: "customers",
      topic: BenchCustomer.topic,
      key: BenchCustomer.key,
      groupCommit
    })
    const acknowledged = new Map<string, number>()
    const ids: Array<string> = []
    let begun = 0
    let saved = 0
    let isOver = false
    const writer = Effect.whileLoop({
      while: () => !isOver,
      body: () => repository.create(BenchCustomer.customer(begun++)),
      step: ({ _id }) => {
        saved += 1
        if (isSampled(_id)) acknowledged.set(_id, nowMillis())
        if (keepsIds) ids.push(_id)
      }
    })
    const running = yield* Effect.forkScoped(
      Effect.all(
        Array.from({ length: writers }, () => writer),
        { concurrency: "unbounded", discard: true }
      )
    )
    const load: Load = {
      saved: () => saved,
      acknowledged,
      ids,
      stop: Effect.suspend(() => {
        isOver = true
        return Effect.orDie(Fiber.join(running))
      })
    }
    return load
  })

/** Saves a second while `time` passes. */
export const savesPerSecond = <A, E, R>(load: Load, time: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = load.saved()
    const startedAt = nowMillis()
    yield* time
    return ((load.saved() - before) * 1_000) / (nowMillis() - startedAt)
  })
