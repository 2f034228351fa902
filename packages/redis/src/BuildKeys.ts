/** Names of the Redis keys of a rebuild. None begins like a record's. */
export interface BuildKeys {
  /** Hash: which build it is, and how far. */
  readonly ledger: string
  /** Who works on it; ends by itself. */
  readonly lock: string
  /** Hash of a part of the states that stand aside, by key. */
  readonly chunk: (build: string, number: number) => string
}

export const make = (mirror: string): BuildKeys => {
  const ledger = `twinbox:rebuild:${mirror}`
  return {
    ledger,
    lock: `${ledger}:lock`,
    chunk: (build, number) => `${ledger}:${build}:${number}`
  }
}
