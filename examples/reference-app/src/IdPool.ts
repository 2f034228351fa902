/**
 * A bounded set of ids to pick from at random. An id that is picked is out of the pool until it is added
 * again, so that no two writes of one batch meet at one document.
 */
export class IdPool {
  readonly #ids: Array<string> = []
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#ids.length
  }

  /** @param fraction from 0 to 1, exclusive; chooses the id that gives its place up when the pool is full */
  add(id: string, fraction: number): void {
    if (this.#ids.length < this.#capacity) this.#ids.push(id)
    else this.#ids[this.#place(fraction)] = id
  }

  /** @param fraction from 0 to 1, exclusive; chooses the id */
  take(fraction: number): string | undefined {
    const place = this.#place(fraction)
    const id = this.#ids[place]
    const last = this.#ids.pop()
    if (last !== undefined && place < this.#ids.length) this.#ids[place] = last
    return id
  }

  #place(fraction: number): number {
    return Math.floor(fraction * this.#ids.length)
  }
}
