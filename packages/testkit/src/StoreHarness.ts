import {
  Key,
  Slot,
  type Message,
  type OutboxAdmin,
  type OutboxError,
  type OutboxStore,
  type Transaction
} from "@twinbox/outbox"
import { it } from "@effect/vitest"
import { type Cause, type Context, Effect, Exit, type Scope } from "effect"

import * as MessageFixture from "./MessageFixture.ts"

type Reads<A> = Effect.Effect<A, OutboxError.OutboxError>
type Records = ReadonlyArray<OutboxStore.Stored>

export type Store = Context.Tag.Service<OutboxStore.OutboxStore>
export type Admin = Context.Tag.Service<OutboxAdmin.OutboxAdmin>

export interface HarnessOptions {
  /**
   * How long the store keeps delivered messages, in milliseconds. Left out: not at all. The database has to look for
   * what has expired every few seconds (MongoDB: `ttlMonitorSleepSecs`).
   */
  readonly keepDelivered?: number
}

/** An empty store, the admin port over the same data, and what a test needs besides the ports. */
export interface StoreHarness {
  readonly store: Store
  readonly admin: Admin
  /** Runs an effect in a transaction of this store. */
  readonly transact: <A, E, R>(
    body: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, unknown, Exclude<R, Transaction.Transaction>>
  /** Puts a record into the outbox that is no message, as a faulty writer might; `slot` and `state` can be anything. Default state: ready. */
  readonly insertCorrupt: (id: string, slot: number, state?: string) => Effect.Effect<void, unknown>
  /** Puts a message there that is behind for no sink, as a faulty writer might. */
  readonly insertOwedToNobody: (message: Message.Message) => Effect.Effect<void, unknown>
}

/** Makes an empty store; run anew for each test, in the test's scope. */
export type MakeHarness = (options: HarnessOptions) => Effect.Effect<StoreHarness, unknown, Scope.Scope>

/** Registers one test over a fresh harness. */
export type Define = (
  name: string,
  test: (harness: StoreHarness) => Effect.Effect<void, unknown, Scope.Scope>,
  options?: HarnessOptions
) => void

export const defineOver =
  (make: MakeHarness): Define =>
  (name, test, options = {}) =>
    it.scopedLive(name, () => Effect.flatMap(make(options), test))

/** Commits messages in one transaction. */
export const commit = ({ store, transact }: StoreHarness, messages: ReadonlyArray<Message.Message>) =>
  transact(store.append(messages))

/** Appends messages in a transaction that fails afterwards. */
export const abort = ({ store, transact }: StoreHarness, messages: ReadonlyArray<Message.Message>) =>
  Effect.flip(transact(Effect.zipRight(store.append(messages), Effect.fail("aborted" as const))))

/** All batches of a cursor, up to the empty one that ends it. */
export const batchesOf = (cursor: OutboxStore.Cursor): Reads<ReadonlyArray<Records>> =>
  Effect.gen(function* () {
    const batches: Array<ReadonlyArray<OutboxStore.Stored>> = []
    for (;;) {
      const batch = yield* cursor.next
      if (batch.length === 0) return batches
      batches.push(batch)
    }
  })

const readAll = (open: Effect.Effect<OutboxStore.Cursor, OutboxError.OutboxError, Scope.Scope>) =>
  Effect.scoped(Effect.map(Effect.flatMap(open, batchesOf), (batches) => batches.flat()))

export const readReady = (store: Store, slots: ReadonlyArray<number> = Slot.all): Reads<Records> =>
  readAll(store.readReady({ slots }))

export const readBehind = (
  store: Store,
  sink: string,
  slots: ReadonlyArray<number> = Slot.all
): Reads<Records> => readAll(store.readBehind({ sink, slots }))

export const idOf = (stored: OutboxStore.Stored): string =>
  stored._tag === "Message" ? stored.message.id : stored.id

export const idsOf = (stored: ReadonlyArray<OutboxStore.Stored>): ReadonlyArray<string> => stored.map(idOf)

export const readyIds = (store: Store): Reads<ReadonlyArray<string>> => Effect.map(readReady(store), idsOf)

export const behindIds = (store: Store, sink: string): Reads<ReadonlyArray<string>> =>
  Effect.map(readBehind(store, sink), idsOf)

/** Reads a feed up to and with the message of this id. */
export const readFeedUntil = (
  feed: OutboxStore.Feed,
  id: string
): Effect.Effect<Records, OutboxError.OutboxError | Cause.TimeoutException> =>
  Effect.gen(function* () {
    const seen: Array<OutboxStore.Stored> = []
    while (!seen.some((stored) => idOf(stored) === id)) seen.push(...(yield* feed.next))
    return seen
  }).pipe(Effect.timeout("20 seconds"))

/** Keys whose slots all differ. */
export const keysOfDistinctSlots = (count: number): ReadonlyArray<Key.Key> => {
  const bySlot = new Map<number, Key.Key>()
  for (let id = 0; bySlot.size < count; id++) {
    const key = Key.make("customer", String(id))
    if (!bySlot.has(Slot.ofKey(key))) bySlot.set(Slot.ofKey(key), key)
  }
  return [...bySlot.values()]
}

/** Two keys in different slots. */
export const twoKeys = (): readonly [Key.Key, Key.Key] =>
  keysOfDistinctSlots(2) as unknown as readonly [Key.Key, Key.Key]

/** Three messages of one key and one of another, committed, and a relay that has all slots. */
export const prepare = (harness: StoreHarness) =>
  Effect.gen(function* () {
    const [key, otherKey] = twoKeys()
    const [one, two, three] = MessageFixture.threeOf(key)
    const other = MessageFixture.make({ key: otherKey })
    yield* commit(harness, [one, two, three, other])
    const lease = yield* enter(harness.store)
    return { key, otherKey, one, two, three, other, lease, ...harness }
  })

/** The reason of the failure of an effect that is expected to fail. */
export const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return "Success"
    const error: unknown = exit.cause._tag === "Fail" ? exit.cause.error : exit.cause
    return typeof error === "object" && error !== null && "reason" in error ? error.reason : error
  })

/** A dead letter of a message. */
export const deadLetter = (
  message: Pick<Message.Message, "id" | "slot">,
  sink: string,
  fields: Partial<OutboxStore.DeadLetter> = {}
): OutboxStore.DeadLetter => ({
  messageId: message.id,
  slot: message.slot,
  sink,
  reason: "Rejected",
  error: "refused by a test",
  attempts: 3,
  blocks: true,
  history: [],
  at: 1_767_225_600_000,
  ...fields
})

/** A settlement of a message; nobody owes it and it is dead nowhere unless told otherwise. */
export const settlementOf = (
  message: Pick<Message.Message, "id" | "slot">,
  outcome: {
    readonly behind?: ReadonlyArray<string>
    /** Sinks that gave it up. */
    readonly dead?: ReadonlyArray<string>
    /** Of the dead letters. */
    readonly fields?: Partial<OutboxStore.DeadLetter>
  } = {}
): OutboxStore.Settlement => ({
  messageId: message.id,
  slot: message.slot,
  behind: outcome.behind ?? [],
  dead: (outcome.dead ?? []).map((sink) => deadLetter(message, sink, outcome.fields))
})

/** 1 January 2100: no test lives to see it. */
export const farFuture = 4_102_444_800_000

/** How long a test's relays may be silent. */
export const leaseMillis = 5_000

/** The right of an owner to what it has claimed. */
export const leaseOf = (owner: string, claimed: ReadonlyArray<OutboxStore.SlotState>): OutboxStore.Lease => ({
  owner,
  epochs: new Map(claimed.map(({ epoch, slot }) => [slot, epoch]))
})

/** Makes a relay known and claims slots for it. */
export const enter = (
  store: Store,
  owner = "relay-a",
  slots: ReadonlyArray<number> = Slot.all
): Reads<OutboxStore.Lease> =>
  Effect.zipRight(
    store.join(owner, leaseMillis),
    Effect.map(store.claim(owner, slots), (claimed) => leaseOf(owner, claimed))
  )

/** Expels a relay that has not had a heartbeat since it joined, as if it had crashed. */
export const expel = (store: Store, owner = "relay-a"): Reads<boolean> => store.expel({ owner, counter: 1 })

/** Expels a relay without a heartbeat, and enters another one in its place. */
export const takeOver = (store: Store, from = "relay-a", to = "relay-b"): Reads<OutboxStore.Lease> =>
  Effect.zipRight(expel(store, from), enter(store, to))

/** What a heartbeat of a new relay finds. */
export const look = (store: Store, owner = "observer"): Reads<OutboxStore.View> =>
  Effect.zipRight(store.join(owner, leaseMillis), store.beat(owner, false))

/** The slot of a view. */
export const slotIn = (view: OutboxStore.View, slot: number): OutboxStore.SlotState | undefined =>
  view.slots.find((state) => state.slot === slot)

/** Runs an effect again and again until its result is as wanted. */
export const eventually = <A, E>(
  effect: Effect.Effect<A, E>,
  isWanted: (value: A) => boolean
): Effect.Effect<A, E | Cause.TimeoutException> => {
  const look: Effect.Effect<A, E> = Effect.flatMap(effect, (value) =>
    isWanted(value) ? Effect.succeed(value) : Effect.delay(look, "50 millis")
  )
  return Effect.timeout(look, "40 seconds")
}
