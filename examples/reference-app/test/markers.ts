import { randomBytes } from "node:crypto"

/** Values that nothing else can hold, so that wherever one of them turns up, it has leaked. */
export class Markers {
  readonly #prefix = `zq${randomBytes(4).toString("hex")}`
  #count = 0

  /** A new value of letters and digits, fit for a name, a part of an e-mail or an id. */
  next(): string {
    this.#count += 1
    return `${this.#prefix}n${this.#count}e`
  }

  get count(): number {
    return this.#count
  }

  /** The markers in a text, in whatever case. */
  in(text: string): ReadonlyArray<string> {
    return [...new Set(text.toLowerCase().match(new RegExp(`${this.#prefix}(n\\d+e)?`, "g")) ?? [])]
  }
}
