import { Anonymizer } from "@twinbox/anonymize"
import { Effect, Either } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import { median, round } from "./Measure.ts"

export interface AnonymizeResult {
  readonly bareHmacsPerSecond: number
  readonly anonymizePerSecond: number
  readonly ratio: number
}

const perSecond = (
  customers: ReadonlyArray<BenchCustomer.BenchCustomer>,
  work: (one: BenchCustomer.BenchCustomer) => unknown
) => {
  const started = performance.now()
  for (const one of customers) work(one)
  return customers.length / ((performance.now() - started) / 1000)
}

/** (d) Customers a second on one core: `anonymize` against the bare HMAC calls that it cannot do without. */
export const run = (rounds: number, scale: number) =>
  Effect.sync((): AnonymizeResult => {
    const anonymizer = Either.getOrThrow(Anonymizer.make(BenchCustomer.BenchCustomer, BenchCustomer.key))
    const customers = Array.from({ length: Math.round(20_000 * scale) }, (_, n) => BenchCustomer.customer(n))
    const samples: Array<readonly [bare: number, own: number]> = []
    for (let at = 0; at <= rounds; at++) {
      const bare = perSecond(customers, BenchCustomer.bareHmacs)
      const own = perSecond(customers, anonymizer.anonymize)
      // The first round only warms up.
      if (at > 0) samples.push([bare, own])
    }
    return {
      bareHmacsPerSecond: round(median(samples.map(([bare]) => bare))),
      anonymizePerSecond: round(median(samples.map(([, own]) => own))),
      ratio: round(median(samples.map(([bare, own]) => own / bare)), 3)
    }
  })
