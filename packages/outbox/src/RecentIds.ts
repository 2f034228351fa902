/**
 * Remembers the last `capacity` ids that were added. A relay asks it about messages that reach it twice,
 * once through the live feed and once through a read of the collection; forgetting one costs a
 * duplicate, which sinks take without harm.
 */
export class RecentIds {
  readonly #ids = new Set<string>()
  readonly #capacity: number
  /** The ids in order, written round and round. To ask the Set for its oldest would walk over all that it has deleted. */
  readonly #ring: Array<string> = []
  #next = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  has(id: string): boolean {
    return this.#ids.has(id)
  }

  add(id: string): void {
    if (this.#ids.has(id)) return
    const oldest = this.#ring[this.#next]
    if (oldest !== undefined) this.#ids.delete(oldest)
    this.#ring[this.#next] = id
    this.#ids.add(id)
    this.#next = (this.#next + 1) % this.#capacity
  }
}
