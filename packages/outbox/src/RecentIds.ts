/**
 * Remembers the last `capacity` ids that were added. A relay asks it about messages that reach it twice,
 * once through the live feed and once through a read of the collection; forgetting one costs a
 * duplicate, which sinks take without harm.
 */
export class RecentIds {
  readonly #ids = new Set<string>()
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  has(id: string): boolean {
    return this.#ids.has(id)
  }

  add(id: string): void {
    this.#ids.add(id)
    if (this.#ids.size <= this.#capacity) return
    // A Set iterates in order of insertion: its first id is the oldest.
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest)
      return
    }
  }
}
