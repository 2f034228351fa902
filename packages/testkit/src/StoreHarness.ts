import {
  Key,
  Slot,
  type Message,
  type OutboxError,
  type OutboxStore,
  type Transaction
} from "@twinbox/outbox"
import { it } from "@effect/vitest"
import { type Cause, type Context, Effect, Exit, type Scope } from "effect"

type Reads<A> = Effect.Effect<A, OutboxError.OutboxError>
type Records = ReadonlyArray<OutboxStore.Stored>

export type Store = Context.Tag.Service<OutboxStore.OutboxStore>

/** An empty store and what a test needs besides its port. */
export interface StoreHarness {
  readonly store: Store
  /** Runs an effect in a transaction of this store. */
  readonly transact: <A, E, R>(
    body: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, unknown, Exclude<R, Transaction.Transaction>>
  /** Puts a record into the outbox that is no message. Tests of corrupt records need it. */
  readonly insertCorrupt?: (id: string) => Effect.Effect<void, unknown>
}

/** Registers one test over a fresh harness. */
export type Define = (
  name: string,
  test: (harness: StoreHarness) => Effect.Effect<void, unknown, Scope.Scope>
) => void

export const defineOver =
  (harness: Effect.Effect<StoreHarness, unknown, Scope.Scope>): Define =>
  (name, test) =>
    it.scopedLive(name, () => Effect.flatMap(harness, test))

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

/** The reason of the failure of an effect that is expected to fail. */
export const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return "Success"
    const error: unknown = exit.cause._tag === "Fail" ? exit.cause.error : exit.cause
    return typeof error === "object" && error !== null && "reason" in error ? error.reason : error
  })

/** A settlement of a message; nobody owes it and it is dead nowhere unless told otherwise. */
export const settlementOf = (
  message: Pick<Message.Message, "id" | "slot">,
  outcome: {
    readonly behind?: ReadonlyArray<string>
    readonly dead?: ReadonlyArray<string>
    readonly blocks?: boolean
  } = {}
): OutboxStore.Settlement => ({
  messageId: message.id,
  slot: message.slot,
  behind: outcome.behind ?? [],
  dead: (outcome.dead ?? []).map((sink) => ({
    messageId: message.id,
    slot: message.slot,
    sink,
    reason: "Rejected",
    error: "refused by a test",
    attempts: 3,
    blocks: outcome.blocks ?? true,
    at: 1_767_225_600_000
  }))
})

/** Claims every slot. */
export const claimAll = (store: Store, owner = "relay-a"): Reads<OutboxStore.Lease> =>
  store.claim(owner, Slot.all)
