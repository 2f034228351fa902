import type { Member, SlotState, View } from "./OutboxStore.ts"

/**
 * Pure decisions of a relay about slots: who has fallen silent, how many slots are a fair share, which to take and
 * which to give back. Times are of the relay's own monotonic clock, in milliseconds.
 */

/** Clocks of different machines run at slightly different speeds: who waits for another's lease waits so much longer. */
const clockRateMargin = 1.1

interface Seen {
  readonly counter: number
  readonly sinceMillis: number
}

/** Watches heartbeat counters. A counter that stands still for longer than its owner's lease means that the owner may be expelled. */
export class Silence {
  #seen = new Map<string, Seen>()

  /** Begins to count anew: nothing was heard of anybody for a while. */
  forget(): void {
    this.#seen = new Map()
  }

  /** Notes what a view shows that was read at `nowMillis`, and returns the members that have been silent for too long. */
  observe(members: ReadonlyArray<Member>, nowMillis: number): ReadonlyArray<Member> {
    const before = this.#seen
    this.#seen = new Map(
      members.map((member) => {
        const known = before.get(member.owner)
        const isSame = known !== undefined && known.counter === member.counter
        return [
          member.owner,
          { counter: member.counter, sinceMillis: isSame ? known.sinceMillis : nowMillis }
        ] as const
      })
    )
    return members.filter(({ leaseMillis, owner }) => {
      const since = this.#seen.get(owner)?.sinceMillis ?? nowMillis
      return nowMillis - since > leaseMillis * clockRateMargin
    })
  }
}

export interface Plan {
  /** Slots to take, now: nobody has them. */
  readonly claim: ReadonlyArray<number>
  /** Slots to give back once nothing of them is on its way: more than a fair share. */
  readonly release: ReadonlyArray<number>
  /** Slots that nobody works on, though the store shows them as this relay's: a reply was lost, and they are too many to take up. */
  readonly disown: ReadonlyArray<SlotState>
}

const nothing: Plan = { claim: [], release: [], disown: [] }

/** Slots of the member with this rank when `members` share `slots`: shares differ by one at most. */
export const shareOf = (rank: number, members: number, slots: number): number =>
  Math.floor(slots / members) + (rank < slots % members ? 1 : 0)

/** Starts at a place of the relay's own, so that several who claim at once rarely want the same slots. */
const rotated = <A>(slots: ReadonlyArray<A>, rank: number, members: number): ReadonlyArray<A> => {
  const start = Math.floor((slots.length * rank) / members)
  return [...slots.slice(start), ...slots.slice(0, start)]
}

/**
 * What a member does about slots. All members come to the same shares from the same view, without a leader.
 *
 * @param held slots that the relay works on
 * @param leaving slots that it is about to give back: neither held nor free
 */
export const plan = (
  view: Pick<View, "members" | "slots">,
  owner: string,
  held: ReadonlySet<number>,
  leaving: ReadonlySet<number>
): Plan => {
  const sharing = view.members
    .filter((member) => !member.leaving)
    .map((member) => member.owner)
    .toSorted()
  const rank = sharing.indexOf(owner)
  if (rank < 0) return nothing
  const share = shareOf(rank, sharing.length, view.slots.length)
  const isUnworked = (at: SlotState) => at.owner === owner && !held.has(at.slot) && !leaving.has(at.slot)
  const unworked = view.slots.filter(isUnworked)
  if (held.size > share) {
    return { claim: [], release: [...held].toSorted((a, b) => a - b).slice(share), disown: unworked }
  }
  const members = new Set(view.members.map((member) => member.owner))
  const isFree = (at: SlotState) => at.owner === undefined || !members.has(at.owner)
  const free = rotated(view.slots.filter(isFree), rank, sharing.length)
  const wanted = share - held.size
  return {
    claim: [...unworked, ...free].slice(0, wanted).map(({ slot }) => slot),
    release: [],
    disown: unworked.slice(wanted)
  }
}
