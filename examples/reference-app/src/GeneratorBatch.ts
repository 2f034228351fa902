import { Effect, Random } from "effect"
import type { IdPool } from "./IdPool.ts"
import type { GeneratorSettings } from "./Settings.ts"

/** One write to be made. The seed decides what is written. */
export type Operation =
  | { readonly _tag: "Create"; readonly seed: number }
  | { readonly _tag: "Update"; readonly id: string; readonly seed: number }
  | { readonly _tag: "Delete"; readonly id: string }

const highestSeed = 2 ** 31

const takeOr = (pool: IdPool, place: number, make: (id: string) => Operation, seed: number): Operation => {
  const id = pool.take(place)
  return id === undefined ? { _tag: "Create", seed } : make(id)
}

const nextOperation = (settings: GeneratorSettings, pool: IdPool) =>
  Effect.gen(function* () {
    const lot = yield* Random.next
    const place = yield* Random.next
    const seed = yield* Random.nextIntBetween(0, highestSeed)
    if (lot < settings.deleteShare) return takeOr(pool, place, (id) => ({ _tag: "Delete", id }), seed)
    return lot < settings.deleteShare + settings.updateShare
      ? takeOr(pool, place, (id) => ({ _tag: "Update", id, seed }), seed)
      : ({ _tag: "Create", seed } as const)
  })

/** The writes of the next batch. Ids are taken out of the pool: put back those that live on. */
export const next = (settings: GeneratorSettings, pool: IdPool): Effect.Effect<ReadonlyArray<Operation>> =>
  Effect.flatMap(Random.nextIntBetween(settings.batchMin, settings.batchMax + 1), (size) =>
    Effect.replicateEffect(nextOperation(settings, pool), size)
  )
