import { Effect } from "effect"
import type { LogLine } from "./LogLine.ts"

/** Lines that wait in memory. Whoever adds one never waits: what there is no room for is dropped. */
export class BoundedLines {
  readonly #capacity: number
  readonly #lines: Array<LogLine> = []
  readonly #filled = Effect.unsafeMakeLatch()
  #dropped = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  add(line: LogLine): void {
    if (this.#lines.length >= this.#capacity) this.#dropped += 1
    else this.#lines.push(line)
    this.#filled.unsafeOpen()
  }

  /** Waits until there is a line. */
  get filled(): Effect.Effect<void> {
    return this.#filled.await
  }

  get size(): number {
    return this.#lines.length
  }

  /** The lines that have waited longest. They stay. */
  oldest(most: number): ReadonlyArray<LogLine> {
    return this.#lines.slice(0, most)
  }

  /** Takes out so many that have waited longest. */
  remove(count: number): void {
    this.#lines.splice(0, count)
    if (this.#lines.length === 0) this.#filled.unsafeClose()
  }

  /** Takes them out without their being stored. */
  drop(count: number): void {
    this.#dropped += count
    this.remove(count)
  }

  /** How many were dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped
    this.#dropped = 0
    return dropped
  }
}
