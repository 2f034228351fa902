import { expect, it } from "@effect/vitest"
import { Config, Effect, Random } from "effect"
import * as Chaos from "./Chaos.ts"
import { kinds } from "./ChaosPlan.ts"
import * as ChaosReport from "./ChaosReport.ts"

/** Repeats the faults of an earlier run. */
const seed = Config.withDefault(
  Config.integer("CHAOS_SEED"),
  Effect.runSync(Random.nextIntBetween(0, 1_000_000))
)

it.live(
  "nothing is lost, out of order or made up when processes, servers and networks fail",
  () =>
    Effect.gen(function* () {
      const outcome = yield* Chaos.run({
        seed: yield* seed,
        minutes: 0,
        relays: 3,
        writers: 2,
        leaseMillis: 2_000,
        writePauseMillis: 50,
        say: () => Effect.void
      })
      const { faults, verdict } = outcome
      if (verdict.violations.length > 0) yield* Effect.logError(ChaosReport.lastWords(outcome))
      yield* Effect.log(`${ChaosReport.failures(outcome)}\n${ChaosReport.table(outcome)}`)
      expect(verdict.violations).toEqual([])
      // Else the faults met nobody.
      expect(new Set(faults.counts.keys())).toEqual(new Set(kinds))
      expect(outcome.committed).toBeGreaterThan(50)
      expect(outcome.arrived).toBeGreaterThanOrEqual(outcome.committed)
    }),
  360_000
)
