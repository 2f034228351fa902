import { Effect } from "effect"

/** Middle value of several; robust against a machine that is busy with something else for a moment. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/** The value below which a share of all values lies. */
export const percentile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

/** Runs `work` for `count` numbers, `concurrency` at a time, by promises; returns how many a second. */
export const promisesPerSecond = async (
  count: number,
  concurrency: number,
  work: (n: number) => Promise<unknown>
): Promise<number> => {
  let next = 0
  const started = performance.now()
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return count / ((performance.now() - started) / 1000)
}

/** The same by fibers: what runs in Effect is measured in Effect. */
export const effectsPerSecond = <E, R>(
  count: number,
  concurrency: number,
  work: (n: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    let next = 0
    const started = performance.now()
    const worker = Effect.whileLoop({
      while: () => next < count,
      body: () => work(next++),
      step: () => undefined
    })
    const workers = Array.from({ length: concurrency }, () => worker)
    return Effect.map(
      Effect.all(workers, { concurrency: "unbounded", discard: true }),
      () => count / ((performance.now() - started) / 1000)
    )
  })

/** Rates rounded for people. */
export const round = (value: number, digits = 0): number => Number(value.toFixed(digits))
