import { delayMillis } from "./RelayPolicy.ts"

/** 100 ms, 200 ms, ... at most 5 s between calls of a sink that is away. */
const pauses = { maxAttempts: Infinity, firstDelayMillis: 100, factor: 2, maxDelayMillis: 5_000 }

/**
 * Whether a sink answers. It opens when the sink has been away for longer than the lane's patience, and closes with the
 * first call that succeeds. No effects here: time and randomness come in as arguments.
 */
export class Circuit {
  readonly #patienceMillis: number
  #failures = 0
  #awaySinceMillis: number | undefined
  #isOpen = false
  #successes = 0

  constructor(patienceMillis: number) {
    this.#patienceMillis = patienceMillis
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Whether the last call failed. */
  get isFailing(): boolean {
    return this.#failures > 0
  }

  /** Calls that have succeeded so far. */
  get successes(): number {
    return this.#successes
  }

  /** Returns the pause before the next call, in milliseconds. */
  fail(nowMillis: number, random: number): number {
    this.#failures += 1
    this.#awaySinceMillis ??= nowMillis
    const patienceLeft = this.#awaySinceMillis + this.#patienceMillis - nowMillis
    if (patienceLeft <= 0) this.#isOpen = true
    const pause = delayMillis(pauses, this.#failures, random)
    // Whoever waits for the circuit to open waits no longer than the patience lasts.
    return this.#isOpen ? pause : Math.min(pause, Math.ceil(patienceLeft))
  }

  succeed(): void {
    this.#successes += 1
    this.#failures = 0
    this.#awaySinceMillis = undefined
    this.#isOpen = false
  }
}
