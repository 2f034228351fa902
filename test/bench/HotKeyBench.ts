import { TwinRepository } from "@twinbox/repository"
import { Effect } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import { effectsPerSecond, median, round } from "./Measure.ts"

export interface HotKeyResult {
  readonly groupCommit: boolean
  readonly oneAfterAnotherPerSecond: number
  readonly writers64PerSecond: number
  readonly ratio: number
}

const updates = 500

const compare = (groupCommit: boolean, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const repository = yield* TwinRepository.make({
      schema: BenchCustomer.BenchCustomer,
      collection: "customers",
      topic: BenchCustomer.topic,
      key: BenchCustomer.key,
      groupCommit
    })
    const { _id } = yield* repository.create(BenchCustomer.customer(1))
    const update = () => repository.update(_id, ({ version }) => ({ firstName: `Anna${version}` }))
    const samples: Array<readonly [alone: number, together: number]> = []
    for (let at = 0; at <= rounds; at++) {
      const alone = yield* effectsPerSecond(Math.round(updates * scale), 1, update)
      const together = yield* effectsPerSecond(Math.round(updates * scale), 64, update)
      // The first round only warms up.
      if (at > 0) samples.push([alone, together])
    }
    const result: HotKeyResult = {
      groupCommit,
      oneAfterAnotherPerSecond: round(median(samples.map(([alone]) => alone))),
      writers64PerSecond: round(median(samples.map(([, together]) => together))),
      ratio: round(median(samples.map(([alone, together]) => together / alone)), 3)
    }
    return result
  }).pipe(Effect.scoped)

/** 64 writers of one customer against as many updates one after another. */
export const run = (rounds: number, scale: number) =>
  Effect.all([compare(false, rounds, scale), compare(true, rounds, scale)])
