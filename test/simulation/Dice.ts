/** Randomness from a seed: sfc32 by Chris Doty-Humphrey (PractRand), which passes its tests and takes a dozen operations. */
export class Dice {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** Dice of one seed with different names roll independently of one another. */
  constructor(seed: number, name: string) {
    let hash = 0x811c9dc5
    for (const char of name) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193)
    this.#a = hash
    this.#b = seed | 0
    this.#c = Math.trunc(seed / 2 ** 32) | 0
    for (let round = 0; round < 12; round++) this.#next()
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return sum >>> 0
  }

  /** Uniform in [0, 1). */
  roll(): number {
    return this.#next() / 2 ** 32
  }

  chance(probability: number): boolean {
    return this.roll() < probability
  }

  /** Uniform between two numbers. */
  between(low: number, high: number): number {
    return low + (high - low) * this.roll()
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.roll() * (high - low + 1))
  }

  pick<A>(items: ReadonlyArray<A>): A {
    return items[Math.floor(this.roll() * items.length)] as A
  }

  /** Eight hexadecimal digits. */
  id(): string {
    return this.#next().toString(16).padStart(8, "0")
  }
}
