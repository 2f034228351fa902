/** What happened in a run, as a hash: two runs with the same hash did the same. */
export class EventLog {
  readonly #show: ((line: string) => void) | undefined
  #high = 0xdeadbeef
  #low = 0x41c6ce57
  events = 0

  /** @param show is given every event as text */
  constructor(show?: (line: string) => void) {
    this.#show = show
  }

  note(at: number, who: string, what: string): void {
    const line = `${at.toFixed(3)} ${who} ${what}`
    this.events += 1
    for (let index = 0; index < line.length; index++) {
      const code = line.charCodeAt(index)
      this.#high = Math.imul(this.#high ^ code, 2_654_435_761)
      this.#low = Math.imul(this.#low ^ code, 1_597_334_677)
    }
    this.#show?.(line)
  }

  /** 16 hexadecimal digits. */
  get hash(): string {
    return [this.#high, this.#low].map((part) => (part >>> 0).toString(16).padStart(8, "0")).join("")
  }
}
