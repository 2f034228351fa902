import type { Delivery } from "./Delivery.ts"
import { isBefore, type Message } from "./Message.ts"
import type { FailedAttempt } from "./OutboxStore.ts"

/**
 * - `flow`: goes to the sink from memory;
 * - `wait`: stays in memory until what is behind of its slot or key has been read to the end for the last time;
 * - `behind`: is left behind, since earlier messages of its slot or key are.
 */
export type Way = "flow" | "wait" | "behind"

/** A key whose first message was refused and is to be sent again. */
export interface StoppedKey {
  readonly slot: number
  readonly attempts: number
  /** Of the monotonic clock. */
  readonly dueMillis: number
  /** The attempts that failed, newest last. */
  readonly history: ReadonlyArray<FailedAttempt>
  /** How many calls had succeeded when it was last tried. */
  readonly successes: number
  /** Its last call took too long: it is sent by itself, so that nobody waits with it. */
  readonly isSlow: boolean
}

/** A slot, or one key, of which something is behind. */
interface Stretch {
  /** Its new messages wait in memory for a last read to end. */
  isJoining: boolean
  readonly waiting: Array<Delivery>
}

interface Parked {
  readonly slot: number
  /** Whether the store knows. */
  isWritten: boolean
  /** A read that could have told that it is blocked no more came before the store was known to know. */
  hasMissedRead: boolean
}

interface Leaving {
  readonly slot: number
  /** In the order in which they were left. */
  readonly deliveries: Array<Delivery>
}

export type OrderKey = (message: Message) => string

/**
 * The order of one lane: what flows straight to the sink, what is behind, and how the second becomes the first again
 * without one message overtaking another. A stretch is a slot or a single key.
 *
 * ```
 * flows --left behind--> behind --little is left--> joining --read to the end--> flows
 *                           ^-------the sink is away-------'
 * ```
 *
 * A stretch that joins keeps its new messages in memory. Once no write is under way that leaves something of it
 * behind, one more read finds all there will ever be; after it the stretch flows, beginning with what waited.
 *
 * No effects here: time comes in as an argument.
 */
export class LaneOrder {
  readonly #orderKey: OrderKey
  readonly #slots = new Map<number, Stretch>()
  readonly #keys = new Map<string, Stretch & { readonly slot: number }>()
  /** Keys with a dead letter that wait for a person. */
  readonly #parked = new Map<string, Parked>()
  readonly #stopped = new Map<string, StoppedKey>()
  /** Messages that were left behind and whose write has not returned; by key. */
  readonly #leaving = new Map<string, Leaving>()
  /** The first message of a key that was leaving when the read began, or has begun to leave since. */
  #horizon = new Map<string, Message>()

  constructor(orderKey: OrderKey) {
    this.#orderKey = orderKey
  }

  /** Whether everything flows. */
  get flows(): boolean {
    return this.#slots.size === 0 && this.#keys.size === 0
  }

  get parkedKeys(): number {
    return this.#parked.size
  }

  /** Messages that wait in memory. */
  get waiting(): number {
    let count = 0
    for (const stretch of this.#stretches()) count += stretch.waiting.length
    return count
  }

  *#stretches(): Iterable<Stretch> {
    yield* this.#slots.values()
    yield* this.#keys.values()
  }

  /** Slots of which something may be behind. */
  get slots(): ReadonlySet<number> {
    return new Set([...this.#slots.keys(), ...[...this.#keys.values()].map(({ slot }) => slot)])
  }

  hasSlot(slot: number): boolean {
    return this.#slots.has(slot) || [...this.#keys.values()].some((stretch) => stretch.slot === slot)
  }

  #stretchOf(message: Message): Stretch | undefined {
    if (this.#slots.size === 0 && this.#keys.size === 0) return undefined
    return this.#slots.get(message.slot) ?? this.#keys.get(this.#orderKey(message))
  }

  wayOf(message: Message): Way {
    if (this.#parked.size > 0 && this.#parked.has(this.#orderKey(message))) return "behind"
    const stretch = this.#stretchOf(message)
    if (stretch === undefined) return "flow"
    return stretch.isJoining ? "wait" : "behind"
  }

  /** Keeps a delivery whose way is `wait`. */
  keep(delivery: Delivery): void {
    this.#stretchOf(delivery.message)?.waiting.push(delivery)
  }

  /** Something of these slots may be behind, and new messages are to follow it closely. A read under way may have missed it. */
  join(slots: Iterable<number>): void {
    for (const slot of slots) {
      const known = this.#slots.get(slot)
      const fresh = known ?? { isJoining: true, waiting: this.#takeOverKeys(slot) }
      // Another object: what is settled in the eyes of a read that has begun is so no more.
      this.#slots.set(slot, { ...fresh })
    }
  }

  /** Something of these slots is behind, and new messages follow it there. Returns what waited and has to follow, too. */
  fallBehind(slots: Iterable<number>): ReadonlyArray<Delivery> {
    const left: Array<Delivery> = []
    for (const slot of slots) {
      const known = this.#slots.get(slot)
      left.push(...(known === undefined ? this.#takeOverKeys(slot) : known.waiting))
      this.#slots.set(slot, { isJoining: false, waiting: [] })
    }
    return left
  }

  /** Those of these slots in which messages wait fall behind; the messages follow. */
  leaveWaiting(slots: ReadonlySet<number>): ReadonlyArray<Delivery> {
    const left: Array<Delivery> = []
    const leave = (stretch: Stretch) => {
      if (stretch.waiting.length === 0) return
      stretch.isJoining = false
      left.push(...stretch.waiting.splice(0))
    }
    for (const [slot, stretch] of this.#slots) if (slots.has(slot)) leave(stretch)
    for (const stretch of this.#keys.values()) if (slots.has(stretch.slot)) leave(stretch)
    return left
  }

  /** A slot's stretch stands for those of its keys, too. */
  #takeOverKeys(slot: number): Array<Delivery> {
    const waiting: Array<Delivery> = []
    for (const [key, stretch] of this.#keys) {
      if (stretch.slot !== slot) continue
      waiting.push(...stretch.waiting)
      this.#keys.delete(key)
    }
    return waiting
  }

  /** The key's first message was refused and stays behind until it is due; what follows goes behind, too. Returns what waited. */
  stop(key: string, stopped: StoppedKey): ReadonlyArray<Delivery> {
    this.#stopped.set(key, stopped)
    const slotStretch = this.#slots.get(stopped.slot)
    if (slotStretch !== undefined) {
      slotStretch.isJoining = false
      return slotStretch.waiting.splice(0)
    }
    const waiting = this.#keys.get(key)?.waiting ?? []
    this.#keys.set(key, { isJoining: false, waiting: [], slot: stopped.slot })
    return waiting
  }

  stoppedAt(key: string): StoppedKey | undefined {
    return this.#stopped.get(key)
  }

  /** Stopped keys that a read beginning now would find, if they are still owed. */
  dueKeys(nowMillis: number): ReadonlySet<string> {
    const keys = new Set<string>()
    for (const [key, { dueMillis }] of this.#stopped) {
      if (dueMillis <= nowMillis && !this.#leaving.has(key)) keys.add(key)
    }
    return keys
  }

  /** Its first message is through, or dead, or somebody took it away. */
  goOn(key: string): void {
    if (this.#stopped.size > 0) this.#stopped.delete(key)
  }

  /** Keys that are not due yet. */
  stoppedKeys(nowMillis: number): ReadonlySet<string> {
    const keys = new Set<string>()
    for (const [key, { dueMillis }] of this.#stopped) if (dueMillis > nowMillis) keys.add(key)
    return keys
  }

  /** When the next stopped key that a read would find is due, by the monotonic clock. */
  get nextDueMillis(): number | undefined {
    let next: number | undefined
    for (const [key, { dueMillis }] of this.#stopped) {
      if (this.#leaving.has(key)) continue
      if (next === undefined || dueMillis < next) next = dueMillis
    }
    return next
  }

  /** The key's first message is a dead letter that blocks it; nobody has written that down yet. */
  park(key: string, slot: number): void {
    this.#parked.set(key, { slot, isWritten: false, hasMissedRead: false })
    this.#stopped.delete(key)
  }

  /** The store knows of the dead letter. Returns the key's slot if it has to be read again. */
  parkWritten(key: string): number | undefined {
    const known = this.#parked.get(key)
    if (known === undefined || known.isWritten) return undefined
    known.isWritten = true
    return known.hasMissedRead ? known.slot : undefined
  }

  /** A read of the blocked keys of these slots begins. Returns the parked keys that it would show. */
  writtenParked(slots: ReadonlySet<number>): ReadonlySet<string> {
    const keys = new Set<string>()
    for (const [key, parked] of this.#parked) {
      if (!slots.has(parked.slot)) continue
      if (parked.isWritten) keys.add(key)
      else parked.hasMissedRead = true
    }
    return keys
  }

  /** The store shows these keys as blocked, and no others of `known`, which it would have shown. */
  setParked(known: ReadonlySet<string>, shown: Iterable<readonly [key: string, slot: number]>): void {
    for (const key of known) this.#parked.delete(key)
    for (const [key, slot] of shown) this.#parked.set(key, { slot, isWritten: true, hasMissedRead: false })
  }

  /** A message goes behind; its write has not returned yet. */
  leaving(delivery: Delivery): void {
    const { message } = delivery
    const key = this.#orderKey(message)
    const known = this.#leaving.get(key)
    if (known === undefined) this.#leaving.set(key, { slot: message.slot, deliveries: [delivery] })
    else known.deliveries.push(delivery)
    if (!this.#horizon.has(key)) this.#horizon.set(key, message)
  }

  /** The write that leaves it behind has returned, or will never be made. */
  left(delivery: Delivery): void {
    const key = this.#orderKey(delivery.message)
    const known = this.#leaving.get(key)
    const at = known?.deliveries.indexOf(delivery) ?? -1
    if (known === undefined || at < 0) return
    known.deliveries.splice(at, 1)
    if (known.deliveries.length === 0) this.#leaving.delete(key)
  }

  /** A read of what is behind begins. */
  beginRead(): void {
    this.#horizon = new Map()
    for (const [key, { deliveries }] of this.#leaving) {
      const [first] = deliveries
      if (first !== undefined) this.#horizon.set(key, first.message)
    }
  }

  /**
   * Whether a message that the read has found may be sent. A read is no snapshot: it may show a message and not the one
   * before it, when both were being left behind meanwhile. Those are for the next read.
   */
  isWithinRead(message: Message): boolean {
    if (this.#horizon.size === 0) return true
    const horizon = this.#horizon.get(this.#orderKey(message))
    return horizon === undefined || isBefore(message, horizon)
  }

  /** Lets stretches without stopped keys join, but for those of some slots; tells whether there were any that had not. */
  joinAll(except: ReadonlySet<number>): boolean {
    const away = new Set([...except, ...[...this.#stopped.values()].map(({ slot }) => slot)])
    const joining = [
      ...[...this.#slots].filter(([slot]) => !away.has(slot)).map(([, stretch]) => stretch),
      ...[...this.#keys]
        .filter(([key, { slot }]) => !except.has(slot) && !this.#stopped.has(key))
        .map(([, stretch]) => stretch)
    ].filter((stretch) => !stretch.isJoining)
    for (const stretch of joining) stretch.isJoining = true
    return joining.length > 0
  }

  /**
   * Stretches of which a read that begins now finds everything there will ever be: they join, and no write that leaves
   * something of them behind is under way. Parked keys are nobody's concern.
   *
   * @param except slots of which not enough is known yet, or that are about to go
   */
  settled(except: ReadonlySet<number>): Settled {
    const slots = new Map<number, Stretch>()
    const keys = new Map<string, Stretch>()
    for (const [slot, stretch] of this.#slots) {
      if (stretch.isJoining && !except.has(slot)) slots.set(slot, stretch)
    }
    for (const [key, stretch] of this.#keys) {
      if (stretch.isJoining && !except.has(stretch.slot)) keys.set(key, stretch)
    }
    const exclude = (key: string, slot: number) => {
      slots.delete(slot)
      keys.delete(key)
    }
    for (const [key, { slot }] of this.#leaving) if (!this.#parked.has(key)) exclude(key, slot)
    for (const [key, { slot }] of this.#stopped) exclude(key, slot)
    return { slots, keys }
  }

  /** A read that began when these were settled has ended, and all it found is delivered: they flow. Returns what waited, in order. */
  flow(settled: Settled): ReadonlyArray<Delivery> {
    const waited: Array<Delivery> = []
    const release = <K>(stretches: Map<K, Stretch>, of: ReadonlyMap<K, Stretch>) => {
      for (const [name, stretch] of of) {
        if (stretches.get(name) !== stretch || !stretch.isJoining) continue
        stretches.delete(name)
        waited.push(...stretch.waiting)
      }
    }
    release<number>(this.#slots, settled.slots)
    release<string>(this.#keys, settled.keys)
    return waited
  }

  /** Forgets everything about slots that belong to somebody else now. */
  drop(slots: ReadonlySet<number>): void {
    for (const slot of slots) this.#slots.delete(slot)
    const forget = (entries: Map<string, { readonly slot: number }>) => {
      for (const [key, { slot }] of entries) if (slots.has(slot)) entries.delete(key)
    }
    forget(this.#keys)
    forget(this.#stopped)
    forget(this.#leaving)
    forget(this.#parked)
  }
}

export interface Settled {
  readonly slots: ReadonlyMap<number, Stretch>
  readonly keys: ReadonlyMap<string, Stretch>
}
