/** Where a bucket stood when it was last asked. */
interface Bucket {
  tokens: number
  at: number
}

/**
 * Limits how often something happens for each of many keys: so often a second in the long run, and twice as often at
 * once. Times are milliseconds of a clock that never goes back. Keys that are at rest are forgotten.
 */
export class TokenBuckets {
  readonly #perSecond: number
  readonly #size: number
  readonly #buckets = new Map<string, Bucket>()
  /** How many keys may be known before those at rest are looked for. */
  #sweepAt: number = minSweep

  constructor(perSecond: number) {
    this.#perSecond = perSecond
    this.#size = 2 * perSecond
  }

  /** Keys that are known. */
  get keys(): number {
    return this.#buckets.size
  }

  /** Whether it may happen once more. */
  take(key: string, now: number): boolean {
    const bucket = this.#bucket(key, now)
    bucket.tokens = this.#tokens(bucket, now)
    bucket.at = now
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }

  #bucket(key: string, now: number): Bucket {
    const known = this.#buckets.get(key)
    if (known !== undefined) return known
    if (this.#buckets.size >= this.#sweepAt) this.#sweep(now)
    const made = { tokens: this.#size, at: now }
    this.#buckets.set(key, made)
    return made
  }

  #tokens({ at, tokens }: Bucket, now: number): number {
    return Math.min(this.#size, tokens + ((now - at) / 1_000) * this.#perSecond)
  }

  #sweep(now: number): void {
    for (const [key, bucket] of this.#buckets) {
      if (this.#tokens(bucket, now) >= this.#size) this.#buckets.delete(key)
    }
    this.#sweepAt = Math.max(minSweep, 2 * this.#buckets.size)
  }
}

const minSweep = 1_000
