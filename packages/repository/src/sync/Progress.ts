/** How far a run over a collection is. */
export interface Progress {
  /** Documents that were looked at, by all instances. */
  readonly done: number
  /** Documents there are to look at, roughly; at least `done`. */
  readonly total: number
  /** Documents that were written, or would have to be. */
  readonly differing: number
  /** Documents in a second, lately. */
  readonly perSecond: number
  /** Seconds until the end at this rate; undefined while nothing can be said. */
  readonly remainingSeconds: number | undefined
}

interface Sample {
  readonly atMillis: number
  readonly done: number
}

/** What a rate is measured over. */
const windowMillis = 15_000

/** Tells rates from how far a run is at times of a monotonic clock. */
export class ProgressMeter {
  #samples: ReadonlyArray<Sample> = []

  observe(done: number, total: number, differing: number, nowMillis: number): Progress {
    const recent = this.#samples.filter(({ atMillis }) => nowMillis - atMillis <= windowMillis)
    this.#samples = [...recent, { atMillis: nowMillis, done }]
    const first = this.#samples[0] ?? { atMillis: nowMillis, done }
    const seconds = (nowMillis - first.atMillis) / 1_000
    const perSecond = seconds > 0 ? Math.max(0, (done - first.done) / seconds) : 0
    const atLeast = Math.max(total, done)
    return {
      done,
      total: atLeast,
      differing,
      perSecond,
      remainingSeconds: perSecond > 0 ? (atLeast - done) / perSecond : undefined
    }
  }
}
