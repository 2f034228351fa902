import { Duration, Effect } from "effect"
import * as MonotonicClock from "./MonotonicClock.ts"
import type { Lease, SlotState } from "./OutboxStore.ts"

/** Looks again after so long whether the lease has been renewed. */
const lookAgain = Duration.millis(20)

/** The slots that a relay holds, and until when it may act on them. */
export class Holding {
  readonly owner: string
  readonly #slots = new Map<number, { readonly epoch: number; changes: number }>()
  #deadlineMillis = -Infinity

  constructor(owner: string) {
    this.owner = owner
  }

  get slots(): ReadonlySet<number> {
    return new Set(this.#slots.keys())
  }

  get size(): number {
    return this.#slots.size
  }

  owns(slot: number): boolean {
    return this.#slots.has(slot)
  }

  add(states: ReadonlyArray<SlotState>): void {
    for (const { changes, epoch, slot } of states) this.#slots.set(slot, { epoch, changes })
  }

  remove(slots: Iterable<number>): void {
    for (const slot of slots) this.#slots.delete(slot)
  }

  /** Whether the store shows a held slot as somebody else's: this cannot happen while the relay is a member. */
  isLost(shown: SlotState): boolean {
    const held = this.#slots.get(shown.slot)
    return held !== undefined && (shown.owner !== this.owner || shown.epoch !== held.epoch)
  }

  /** Held slots that somebody has changed since this was last asked. */
  changed(shown: ReadonlyArray<SlotState>): ReadonlyArray<number> {
    return shown.flatMap(({ changes, slot }) => {
      const held = this.#slots.get(slot)
      if (held === undefined || held.changes === changes) return []
      held.changes = changes
      return [slot]
    })
  }

  readonly leaseOf = (slots: Iterable<number>): Lease => {
    const epochs = new Map<number, number>()
    for (const slot of slots) epochs.set(slot, this.#slots.get(slot)?.epoch ?? -1)
    return { owner: this.owner, epochs }
  }

  /** A heartbeat that was sent at this time of the monotonic clock has arrived: nobody takes over before the lease has passed since. */
  renew(sentAtMillis: number, leaseMillis: number): void {
    this.#deadlineMillis = sentAtMillis + leaseMillis
  }

  /** Whether nobody can have taken over yet. */
  holds(nowMillis: number): boolean {
    return nowMillis < this.#deadlineMillis
  }

  /** Waits until the relay knows that nobody can have taken over. */
  readonly permitted: Effect.Effect<void> = Effect.clockWith((clock) =>
    this.holds(MonotonicClock.millisOf(clock))
      ? Effect.void
      : Effect.zipRight(
          Effect.sleep(lookAgain),
          Effect.suspend(() => this.permitted)
        )
  )
}
