/** A record that has been taken up. */
interface Taken {
  readonly offset: bigint
  isFinished: boolean
}

/**
 * How far a consumer has come in one partition. Records may finish in any order; only the prefix without a gap may be
 * committed, so that whoever goes on from there leaves none out.
 */
export class Progress {
  /** In rising offsets. The first is unfinished, if there is one. */
  #taken: Array<Taken> = []
  /** Where the living part of `#taken` begins: to cut off each by itself would cost its whole length. */
  #first = 0
  #next: bigint

  /** @param next the offset to go on from */
  constructor(next: bigint) {
    this.#next = next
  }

  /** Offset of the next record to be taken up. */
  get next(): bigint {
    return this.#next
  }

  /** All before this offset is finished. */
  get finished(): bigint {
    return this.#taken[this.#first]?.offset ?? this.#next
  }

  /** Records that it has in memory. */
  get size(): number {
    return this.#taken.length
  }

  /** Takes up a record, and gives what finishes it. Offsets rise; those that are left out hold no record. */
  take(offset: bigint): () => void {
    const taken: Taken = { offset, isFinished: false }
    this.#taken.push(taken)
    this.#next = offset + 1n
    return () => {
      taken.isFinished = true
      this.#cut()
    }
  }

  /** Passes over offsets that hold no record, up to this one. */
  passTo(next: bigint): void {
    if (next > this.#next) this.#next = next
  }

  #cut(): void {
    while (this.#taken[this.#first]?.isFinished === true) this.#first += 1
    if (this.#first > 1024 && this.#first * 2 > this.#taken.length) {
      this.#taken = this.#taken.slice(this.#first)
      this.#first = 0
    }
  }
}
