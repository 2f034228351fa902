/** Records by id, and by slot for those who read some slots only. Both in the order of insertion. */
export class MemoryTable<A extends { readonly slot: number }> {
  readonly #byId = new Map<string, A>()
  readonly #bySlot = new Map<number, Map<string, A>>()

  get size(): number {
    return this.#byId.size
  }

  get(id: string): A | undefined {
    return this.#byId.get(id)
  }

  set(id: string, record: A): void {
    const before = this.#byId.get(id)
    if (before !== undefined && before.slot !== record.slot) this.delete(id)
    this.#byId.set(id, record)
    const ofSlot = this.#bySlot.get(record.slot) ?? new Map<string, A>()
    this.#bySlot.set(record.slot, ofSlot.set(id, record))
  }

  delete(id: string): void {
    const record = this.#byId.get(id)
    if (record === undefined) return
    this.#byId.delete(id)
    this.#bySlot.get(record.slot)?.delete(id)
  }

  values(): ReadonlyArray<A> {
    return [...this.#byId.values()]
  }

  slots(): ReadonlyArray<number> {
    return [...this.#bySlot.keys()]
  }

  inSlots(slots: ReadonlyArray<number>): ReadonlyArray<A> {
    return slots.flatMap((slot) => [...(this.#bySlot.get(slot)?.values() ?? [])])
  }
}
