import { Effect } from "effect"
import * as Delivery from "./Delivery.ts"
import type { Message } from "./Message.ts"
import { RecentIds } from "./RecentIds.ts"

/** How many delivered ids are remembered against doubles: about 10 MB. */
const recentCapacity = 65_536

const totalWeight = (deliveries: ReadonlyArray<Delivery.Delivery>): number =>
  deliveries.reduce((sum, delivery) => sum + delivery.weight, 0)

/** Cuts a batch into groups that each weigh `maxWeight` at most. */
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
  #weight = 0
  readonly #maxWeight: number

  constructor(maxWeight: number) {
    this.#maxWeight = maxWeight
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

  /** Whether `admit` of these messages would not have to wait. */
  hasRoomFor(messages: ReadonlyArray<Message>): boolean {
    const weight = messages.reduce((sum, message) => sum + Delivery.weightOf(message), 0)
    return this.#weight + weight <= this.#maxWeight
  }

  /**
   * Hands deliveries of these messages to `offer`, group by group, as room for them becomes free.
   * Interruptible while it waits for room; a group that has its room is always offered.
   */
  admit(
    messages: ReadonlyArray<Message>,
    lanesOf: (message: Message) => number,
    offer: (deliveries: ReadonlyArray<Delivery.Delivery>) => Effect.Effect<void>
  ): Effect.Effect<void> {
    const deliveries = messages.map((message) => Delivery.make(message, lanesOf(message), this.#maxWeight))
    return Effect.forEach(
      groupsByWeight(deliveries, this.#maxWeight),
      (group) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(restore(this.#permits.take(totalWeight(group))), () => {
            this.#weight += totalWeight(group)
            for (const delivery of group) this.#deliveries.set(delivery.message.id, delivery)
            return offer(group)
          })
        ),
      { discard: true }
    )
  }

  /** Forgets deliveries that are settled; their ids are remembered for a while. */
  settled(deliveries: ReadonlyArray<Delivery.Delivery>): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (const delivery of deliveries) {
        this.#deliveries.delete(delivery.message.id)
        this.#recent.add(delivery.message.id)
      }
      this.#weight -= totalWeight(deliveries)
      return Effect.asVoid(this.#permits.release(totalWeight(deliveries)))
    })
  }
}
