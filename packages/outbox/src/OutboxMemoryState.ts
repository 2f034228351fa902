import type { Clock } from "effect"
import type { Message } from "./Message.ts"
import { MemoryTable } from "./OutboxMemoryTable.ts"
import {
  type DeadLetter,
  type FailedAttempt,
  type Lease,
  maxHistory,
  type Member,
  type RegisteredSink,
  type SlotState,
  type Stored
} from "./OutboxStore.ts"
import * as Slot from "./Slot.ts"

/** A record of the outbox. */
export interface Row {
  readonly id: string
  /** Of a corrupt record, any number. */
  readonly slot: number
  /** `ready`, `behind` or `scheduled`; of a corrupt record, any text. */
  readonly state: string
  /** Sinks that still owe it; empty unless it is behind. */
  readonly behind: ReadonlyArray<string>
  readonly stored: Stored
}

export interface DeadRow {
  readonly id: string
  readonly slot: number
  readonly letter: DeadLetter
  /** A copy of what was given up on. */
  readonly row: Row
}

interface DeliveredRow {
  readonly message: Message
  readonly deliveredAt: number
}

/** A member, and how many fenced writes it has made. */
interface MemberRow extends Member {
  readonly writes: number
}

export const deadId = (messageId: string, sink: string): string => `${messageId}:${sink}`

export const messageOf = ({ stored }: Row): Message | undefined =>
  stored._tag === "Message" ? stored.message : undefined

export const isOwedBy = (row: Row, sink: string): boolean =>
  row.state === "behind" && row.behind.includes(sink)

const placeOf = (message: Message): string =>
  [message.slot, message.key, message.sequence, message.ordinal].join("\u0000")

export const byPlace = (a: Message, b: Message): number =>
  a.slot - b.slot ||
  (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) ||
  a.sequence - b.sequence ||
  a.ordinal - b.ordinal

const newest = (history: ReadonlyArray<FailedAttempt>): ReadonlyArray<FailedAttempt> =>
  history.slice(-maxHistory)

/** A message as it is found, with what is known of it besides; what says nothing is left out. */
export const storedMessage = (
  message: Message,
  marks: Readonly<Record<string, number>> = {},
  history: ReadonlyArray<FailedAttempt> = []
): Stored => {
  const counted = Object.entries(marks).filter(([, count]) => count !== 0)
  return {
    _tag: "Message",
    message,
    ...(counted.length === 0 ? {} : { marks: Object.fromEntries(counted) }),
    ...(history.length === 0 ? {} : { history: newest(history) })
  }
}

export const freshRow = (message: Message): Row => ({
  id: message.id,
  slot: message.slot,
  state: message.availableAt === undefined ? "ready" : "scheduled",
  behind: [],
  stored: storedMessage(message)
})

const freeSlot = (slot: number): SlotState => ({
  slot,
  owner: undefined,
  epoch: 0,
  suspect: false,
  changes: 0
})

/** What the database holds. Every method takes effect at once. */
export class MemoryState {
  readonly rows = new MemoryTable<Row>()
  readonly dead = new MemoryTable<DeadRow>()
  readonly sequences = new Map<string, number>()
  readonly members = new Map<string, MemberRow>()
  readonly slots: Array<SlotState> = Slot.all.map(freeSlot)
  readonly sinks = new Map<string, RegisteredSink>()
  /** Commits so far: the position of the feed. */
  commits = 0
  /** Ids by place. */
  readonly #places = new Map<string, string>()
  readonly #scheduled = new Map<string, number>()
  readonly #delivered = new Map<string, DeliveredRow>()
  readonly #clock: Clock.Clock
  readonly #keepDelivered: number

  /** @param keepDelivered milliseconds; 0: delivered messages are not kept */
  constructor(clock: Clock.Clock, keepDelivered: number) {
    this.#clock = clock
    this.#keepDelivered = keepDelivered
  }

  /** Inserts a record or puts a new version in its place. */
  put(row: Row): void {
    this.rows.set(row.id, row)
    const message = messageOf(row)
    if (message === undefined) return
    this.#places.set(placeOf(message), row.id)
    if (row.state === "scheduled") this.#scheduled.set(row.id, message.availableAt ?? 0)
    else this.#scheduled.delete(row.id)
  }

  remove(id: string): void {
    const row = this.rows.get(id)
    const message = row && messageOf(row)
    if (message !== undefined) this.#places.delete(placeOf(message))
    this.#scheduled.delete(id)
    this.rows.delete(id)
  }

  /** Whether another message has the place of this one. */
  isPlaceTaken(message: Message): boolean {
    const id = this.#places.get(placeOf(message))
    return id !== undefined && id !== message.id
  }

  /** Whether one of these cannot be inserted, by its id or by its place. */
  isAnyTaken(messages: ReadonlyArray<Message>): boolean {
    const ids = new Set(messages.map((message) => message.id))
    const places = new Set(messages.map(placeOf))
    return (
      ids.size < messages.length ||
      places.size < messages.length ||
      messages.some((message) => this.rows.get(message.id) !== undefined || this.isPlaceTaken(message))
    )
  }

  /** Keeps a copy of a delivered message, if delivered messages are kept. */
  keep(message: Message): void {
    if (this.#keepDelivered === 0 || this.#delivered.has(message.id)) return
    this.#delivered.set(message.id, { message, deliveredAt: this.#clock.unsafeCurrentTimeMillis() })
  }

  /** Takes away the sink from those that owe the record; when it was the last, the record ends, as delivered or not. */
  pull(row: Row, isPulled: (sink: string) => boolean, isDelivered: boolean): void {
    const behind = row.behind.filter((sink) => !isPulled(sink))
    if (behind.length > 0) return this.put({ ...row, behind })
    this.remove(row.id)
    const message = messageOf(row)
    if (isDelivered && message !== undefined) this.keep(message)
  }

  bury(row: Row, letter: DeadLetter): void {
    const id = deadId(row.id, letter.sink)
    this.dead.set(id, { id, slot: letter.slot, row, letter: { ...letter, history: newest(letter.history) } })
  }

  /** Keys with a dead letter that blocks them at a sink. */
  blockedKeys(sink: string, slots: ReadonlyArray<number>): ReadonlySet<string> {
    const keys = new Set<string>()
    for (const { letter, row } of this.dead.inSlots(slots)) {
      const message = messageOf(row)
      if (letter.blocks && letter.sink === sink && message !== undefined) keys.add(message.key)
    }
    return keys
  }

  /** Ids of scheduled messages whose time has come. */
  due(): ReadonlyArray<string> {
    const now = this.#clock.unsafeCurrentTimeMillis()
    return [...this.#scheduled].flatMap(([id, availableAt]) => (availableAt <= now ? [id] : []))
  }

  get scheduledCount(): number {
    return this.#scheduled.size
  }

  /** Delivered messages that are still kept, the first delivered first. */
  delivered(): ReadonlyArray<DeliveredRow> {
    const now = this.#clock.unsafeCurrentTimeMillis()
    for (const [id, { deliveredAt }] of this.#delivered) {
      if (deliveredAt + this.#keepDelivered <= now) this.#delivered.delete(id)
    }
    return [...this.#delivered.values()]
  }

  owns(lease: Lease, slot: number): boolean {
    const held = this.slots[slot]
    return held !== undefined && held.owner === lease.owner && held.epoch === lease.epochs.get(slot)
  }

  /** Slots that are the lease's. */
  ownedBy(lease: Lease): ReadonlyArray<number> {
    return [...lease.epochs.keys()].filter((slot) => this.owns(lease, slot))
  }

  changeSlot(slot: number, change: Partial<SlotState>): void {
    const before = this.slots[slot]
    if (before !== undefined) this.slots[slot] = { ...before, ...change }
  }

  /** Tells relays that something was changed in these slots behind their backs. */
  raiseChanges(slots: Iterable<number>): void {
    for (const slot of new Set(slots)) {
      this.changeSlot(slot, { changes: (this.slots[slot]?.changes ?? 0) + 1 })
    }
  }
}
