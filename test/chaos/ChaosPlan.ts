import { Utils } from "effect"

/** Everything that is done to a running system. */
export const kinds = [
  "kill relay",
  "kill relay in calm",
  "freeze relay",
  "kill writer",
  "step primary down",
  "kill primary",
  "restart mirror",
  "flush mirror",
  "wipe mirror",
  "cut network",
  "hang network"
] as const

export type Kind = (typeof kinds)[number]

/** One fault to come. */
export interface Planned {
  readonly kind: Kind
  /** How long to wait before it, in milliseconds. */
  readonly pauseMillis: number
  /** How long it lasts, in milliseconds. */
  readonly holdMillis: number
  /** In [0, 1): chooses whom it meets, where there is a choice. */
  readonly choice: number
}

export interface Options {
  readonly seed: number
  /** Lease of the relays under test, in milliseconds: a freeze lasts longer, so that others take over. */
  readonly leaseMillis: number
}

interface Rule {
  /** How many of it are in a deck. */
  readonly share: number
  /** Shortest and longest duration, in milliseconds. */
  readonly hold: (leaseMillis: number) => readonly [shortest: number, longest: number]
}

const rules: Readonly<Record<Kind, Rule>> = {
  "kill relay": { share: 3, hold: () => [0, 2_000] },
  "kill relay in calm": { share: 1, hold: () => [0, 2_000] },
  // From take-over in the best case to well after it in the worst.
  "freeze relay": { share: 1, hold: (leaseMillis) => [1.2 * leaseMillis, 2.5 * leaseMillis] },
  "kill writer": { share: 2, hold: () => [0, 500] },
  "step primary down": { share: 1, hold: () => [0, 0] },
  "kill primary": { share: 1, hold: () => [0, 3_000] },
  "restart mirror": { share: 1, hold: () => [0, 1_500] },
  "flush mirror": { share: 1, hold: () => [500, 2_000] },
  "wipe mirror": { share: 1, hold: () => [500, 2_000] },
  "cut network": { share: 1, hold: () => [200, 3_000] },
  "hang network": { share: 1, hold: (leaseMillis) => [200, 2 * leaseMillis] }
}

/** The longest pause before a fault: some come close together, some when all has settled. */
const longestPauseMillis = 3_000

const deck: ReadonlyArray<Kind> = kinds.flatMap((kind) =>
  Array.from({ length: rules[kind].share }, () => kind)
)

/** How many faults are in a deck; each kind is among them. */
export const deckSize = deck.length

const shuffled = (random: Utils.PCGRandom): ReadonlyArray<Kind> => {
  const cards = [...deck]
  for (let at = cards.length - 1; at > 0; at--) {
    const other = random.integer(at + 1)
    const card = cards[at] as Kind
    cards[at] = cards[other] as Kind
    cards[other] = card
  }
  return cards
}

const between = (random: Utils.PCGRandom, [shortest, longest]: readonly [number, number]): number =>
  Math.round(shortest + random.number() * (longest - shortest))

/** Deck after deck of faults, each shuffled anew, without end. The same seed gives the same plan. */
export function* make({ leaseMillis, seed }: Options): Generator<Planned, never> {
  const random = new Utils.PCGRandom(seed)
  for (;;) {
    for (const kind of shuffled(random)) {
      yield {
        kind,
        pauseMillis: between(random, [0, longestPauseMillis]),
        holdMillis: between(random, rules[kind].hold(leaseMillis)),
        choice: random.number()
      }
    }
  }
}
