import type { Delivery } from "./Delivery.ts"

/**
 * Batches out of suspect slots: one of their messages may have killed the process that owned the slot before. Before
 * each call its messages are marked, and the mark is taken back when the process outlives the call. A message with
 * marks was thus on its way when a process died; it is sent in ever smaller batches, at last alone, and then no more.
 */

/** Each death makes the next batch so many times smaller: halving would take nine deaths, and as many lease times, to find one of 500. */
const shrinkFactor = 8

/** Deaths of a process while a message was sent alone, after which it is not sent again. */
const maxLoneDeaths = 3

/** How many messages may be in a batch with one that has this many marks. */
export const sizeLimit = (marks: number, batchSize: number): number =>
  Math.max(1, Math.floor(batchSize / shrinkFactor ** marks))

/** Whether a message has killed the process so often that it is given up on. */
export const isDeadly = (marks: number, batchSize: number): boolean => {
  const deathsUntilAlone = Math.max(0, Math.ceil(Math.log(batchSize) / Math.log(shrinkFactor)))
  return marks >= deathsUntilAlone + maxLoneDeaths
}

/** How many messages from the front may be sent in one call. */
export const prefixLength = (
  deliveries: ReadonlyArray<Delivery>,
  sink: string,
  batchSize: number
): number => {
  let limit = batchSize
  let length = 0
  for (const { marks } of deliveries) {
    limit = Math.min(limit, sizeLimit(marks[sink] ?? 0, batchSize))
    if (length >= limit) break
    length += 1
  }
  return length
}
