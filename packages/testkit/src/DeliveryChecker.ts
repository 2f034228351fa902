import type { Message } from "@twinbox/outbox"

/** What is known of a message that a sink received. */
export type Received = Pick<Message.Message, "id" | "key" | "sequence" | "ordinal"> &
  Partial<Pick<Message.Message, "topic" | "payload">>

export interface Evidence {
  /** Everything that committed for this sink, in any order. */
  readonly committed: Iterable<Message.Message>
  /** Everything that the sink received, in the order in which it did. */
  readonly received: Iterable<Received>
  /** Ids that the sink need not have received: still in the outbox, or dead letters. */
  readonly owed?: Iterable<string>
  /** What order is kept for. Default: the key. Give the message's id for unordered topics. */
  readonly orderKey?: (message: Received) => string
}

/** Two first occurrences at a sink in the wrong order. */
export interface Disorder {
  readonly orderKey: string
  /** Id of the message that came first, though it is the later one. */
  readonly after: string
  /** Id of the message that came too late. */
  readonly id: string
}

export interface Report {
  /** Ids that committed, are not owed, and never arrived. */
  readonly lost: ReadonlyArray<string>
  readonly disordered: ReadonlyArray<Disorder>
  /** Ids that arrived and never committed. */
  readonly neverCommitted: ReadonlyArray<string>
  /** Ids that arrived with another key, place, topic or payload than what committed. */
  readonly altered: ReadonlyArray<string>
  /** How many arrivals were not the first of their message: allowed, but worth counting. */
  readonly duplicates: number
}

const isLater = (a: Received, b: Received): boolean =>
  a.sequence > b.sequence || (a.sequence === b.sequence && a.ordinal > b.ordinal)

const isAltered = (received: Received, committed: Message.Message): boolean =>
  received.key !== committed.key ||
  received.sequence !== committed.sequence ||
  received.ordinal !== committed.ordinal ||
  (received.topic !== undefined && received.topic !== committed.topic) ||
  (received.payload !== undefined && received.payload !== committed.payload)

/** The first arrival of each message, in order, and how many more there were. */
const firstArrivals = (received: Iterable<Received>) => {
  const first = new Map<string, Received>()
  let arrivals = 0
  for (const message of received) {
    arrivals += 1
    if (!first.has(message.id)) first.set(message.id, message)
  }
  return { first, duplicates: arrivals - first.size }
}

const findDisorder = (
  first: Iterable<Received>,
  orderKeyOf: (message: Received) => string
): ReadonlyArray<Disorder> => {
  const latest = new Map<string, Received>()
  const disordered: Array<Disorder> = []
  for (const message of first) {
    const orderKey = orderKeyOf(message)
    const before = latest.get(orderKey)
    if (before !== undefined && !isLater(message, before)) {
      disordered.push({ orderKey, after: before.id, id: message.id })
    } else latest.set(orderKey, message)
  }
  return disordered
}

/**
 * Judges one sink by what committed and what it received. The order of first occurrences counts: per key
 * they must have rising (sequence, ordinal).
 */
export const check = (evidence: Evidence): Report => {
  const committed = new Map([...evidence.committed].map((message) => [message.id, message]))
  const owed = new Set(evidence.owed)
  const { duplicates, first } = firstArrivals(evidence.received)
  const neverCommitted: Array<string> = []
  const altered: Array<string> = []
  for (const [id, message] of first) {
    const original = committed.get(id)
    if (original === undefined) neverCommitted.push(id)
    else if (isAltered(message, original)) altered.push(id)
  }
  return {
    lost: [...committed.keys()].filter((id) => !first.has(id) && !owed.has(id)),
    disordered: findDisorder(first.values(), evidence.orderKey ?? (({ key }) => key)),
    neverCommitted,
    altered,
    duplicates
  }
}

/** Whether nothing is wrong. Duplicates are not. */
export const isSound = (report: Report): boolean =>
  report.lost.length + report.disordered.length + report.neverCommitted.length + report.altered.length === 0
