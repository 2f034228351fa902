import { Effect } from "effect"
import * as Delivery from "./Delivery.ts"
import type { OrderKey } from "./LaneOrder.ts"
import { isBefore } from "./Message.ts"
import * as Slot from "./Slot.ts"
import { RecentIds } from "./RecentIds.ts"

/** How many delivered ids are remembered against doubles: about 10 MB. */
const recentCapacity = 65_536

const totalWeight = (deliveries: ReadonlyArray<Delivery.Delivery>): number =>
  deliveries.reduce((sum, delivery) => sum + delivery.weight, 0)

/** A group waits until there is room for all of it: a part of the room, lest one slow call keeps out everybody. */
const groupShare = 1 / 8

/** Cuts a batch into groups that each weigh `maxWeight` at most, or hold a single delivery. */
const groupsByWeight = (deliveries: ReadonlyArray<Delivery.Delivery>, maxWeight: number) => {
  const groups: Array<Array<Delivery.Delivery>> = []
  let room = 0
  for (const delivery of deliveries) {
    const group = groups.at(-1)
    if (group !== undefined && delivery.weight <= room) group.push(delivery)
    else {
      groups.push([delivery])
      room = maxWeight
    }
    room -= delivery.weight
  }
  return groups
}

/**
 * The messages a relay has taken in and not yet settled, bounded by weight, and the ids of those it
 * settled last.
 */
export class InFlight {
  readonly #deliveries = new Map<string, Delivery.Delivery>()
  readonly #recent = new RecentIds(recentCapacity)
  readonly #permits: Effect.Semaphore
  readonly #perSlot = new Int32Array(Slot.count)
  #weight = 0
  /** How much it holds, at most. */
  readonly maxWeight: number

  constructor(maxWeight: number) {
    this.maxWeight = maxWeight
    this.#permits = Effect.unsafeMakeSemaphore(maxWeight)
  }

  get size(): number {
    return this.#deliveries.size
  }

  /** `createdAt` of the message taken in first among those still on their way. */
  get oldestCreatedAt(): number | undefined {
    for (const { message } of this.#deliveries.values()) return message.createdAt
    return undefined
  }

  /** Whether this relay has the message, or settled it a short while ago. */
  knows(messageId: string): boolean {
    return this.#deliveries.has(messageId) || this.#recent.has(messageId)
  }

  /** Whether this very delivery is on its way: not settled, dropped or abandoned. */
  has(delivery: Delivery.Delivery): boolean {
    return this.#deliveries.get(delivery.message.id) === delivery
  }

  /** How many messages of a slot are on their way. */
  countIn(slot: number): number {
    return this.#perSlot[slot] ?? 0
  }

  /** Whether `admit` of these messages would not have to wait. */
  hasRoomFor(stored: ReadonlyArray<Delivery.StoredMessage>): boolean {
    const weight = stored.reduce((sum, { message }) => sum + Delivery.weightOf(message), 0)
    return this.#weight + weight <= this.maxWeight
  }

  /**
   * Hands deliveries of these messages to `offer`, group by group, as room for them becomes free.
   * Interruptible while it waits for room; a group that has its room is always offered, but for messages of slots
   * that are no longer taken then.
   */
  admit(
    stored: ReadonlyArray<Delivery.StoredMessage>,
    deliveryOf: (stored: Delivery.StoredMessage, maxWeight: number) => Delivery.Delivery,
    offer: (deliveries: ReadonlyArray<Delivery.Delivery>) => Effect.Effect<void>,
    takes: (slot: number) => boolean = () => true
  ): Effect.Effect<void> {
    const deliveries = stored.map((one) => deliveryOf(one, this.maxWeight))
    return Effect.forEach(
      groupsByWeight(deliveries, Math.ceil(this.maxWeight * groupShare)),
      (group) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(restore(this.#permits.take(totalWeight(group))), () => {
            // Slots can go while room is waited for.
            const taken = group.filter(({ message }) => takes(message.slot))
            this.#weight += totalWeight(taken)
            for (const delivery of taken) this.#add(delivery)
            const spare = totalWeight(group) - totalWeight(taken)
            return spare === 0 ? offer(taken) : Effect.zipRight(this.#permits.release(spare), offer(taken))
          })
        ),
      { discard: true }
    )
  }

  #add(delivery: Delivery.Delivery): void {
    this.#deliveries.set(delivery.message.id, delivery)
    this.#perSlot[delivery.message.slot] = this.countIn(delivery.message.slot) + 1
  }

  #forget(deliveries: ReadonlyArray<Delivery.Delivery>): Effect.Effect<void> {
    for (const { message } of deliveries) {
      this.#deliveries.delete(message.id)
      this.#perSlot[message.slot] = this.countIn(message.slot) - 1
    }
    this.#weight -= totalWeight(deliveries)
    return Effect.asVoid(this.#permits.release(totalWeight(deliveries)))
  }

  /** What is on its way of these order keys, in the order of their places. */
  ofKeys(keys: ReadonlySet<string>, orderKey: OrderKey): ReadonlyArray<Delivery.Delivery> {
    return [...this.#deliveries.values()]
      .filter(({ message }) => keys.has(orderKey(message)))
      .toSorted((a, b) => (isBefore(a.message, b.message) ? -1 : 1))
  }

  /** Forgets deliveries that are settled; their ids are remembered for a while. */
  settled(deliveries: ReadonlyArray<Delivery.Delivery>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const known = this.#known(deliveries)
      for (const { message } of known) this.#recent.add(message.id)
      return this.#forget(known)
    })
  }

  /** Forgets deliveries that are not settled: when their slots come back they are new. */
  dropped(deliveries: ReadonlyArray<Delivery.Delivery>): Effect.Effect<void> {
    return Effect.suspend(() => this.#forget(this.#known(deliveries)))
  }

  #known(deliveries: ReadonlyArray<Delivery.Delivery>): ReadonlyArray<Delivery.Delivery> {
    return deliveries.filter((delivery) => this.has(delivery))
  }

  /** Forgets what is on its way of slots that belong to somebody else now. */
  abandon(slots: ReadonlySet<number>): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#forget([...this.#deliveries.values()].filter(({ message }) => slots.has(message.slot)))
    )
  }
}
