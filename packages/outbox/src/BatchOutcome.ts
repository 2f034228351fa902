import type { Rejection } from "./Sink.ts"
import type { Delivery } from "./Delivery.ts"
import type { OrderKey } from "./LaneOrder.ts"

/** A key that a sink stopped at: the refused message first, then those of its key that came after it. */
export interface Stop {
  readonly rejection: Rejection
  readonly refused: Delivery
  readonly followers: ReadonlyArray<Delivery>
}

export interface BatchOutcome {
  readonly confirmed: ReadonlyArray<Delivery>
  readonly stops: ReadonlyMap<string, Stop>
}

const noStops: ReadonlyMap<string, Stop> = new Map()

/** Splits a batch by what the sink said. A key stops at its first refused message; what follows of that key counts as not sent. */
export const split = (
  batch: ReadonlyArray<Delivery>,
  rejections: ReadonlyArray<Rejection>,
  orderKey: OrderKey
): BatchOutcome => {
  if (rejections.length === 0) return { confirmed: batch, stops: noStops }
  const byId = new Map(rejections.map((rejection) => [rejection.messageId, rejection]))
  const confirmed: Array<Delivery> = []
  const stops = new Map<string, Stop & { readonly followers: Array<Delivery> }>()
  for (const delivery of batch) {
    const key = orderKey(delivery.message)
    const stop = stops.get(key)
    const rejection = byId.get(delivery.message.id)
    if (stop !== undefined) stop.followers.push(delivery)
    else if (rejection === undefined) confirmed.push(delivery)
    else stops.set(key, { rejection, refused: delivery, followers: [] })
  }
  return { confirmed, stops }
}
