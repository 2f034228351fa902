import { type Context, Effect, Option, Schema } from "effect"
import type { Message } from "./Message.ts"
import {
  type BlockedKey,
  type DeadFilter,
  type ListedDeadLetter,
  OutboxAdmin,
  type ReplayFilter
} from "./OutboxAdmin.ts"
import { OutboxError } from "./OutboxError.ts"
import {
  byPlace,
  type DeadRow,
  isOwedBy,
  type MemoryState,
  messageOf,
  storedMessage
} from "./OutboxMemoryState.ts"
import * as Stats from "./OutboxMemoryStats.ts"
import { membersOf } from "./OutboxMemoryStore.ts"
import type { FailedAttempt } from "./OutboxStore.ts"
import * as Slot from "./Slot.ts"

type Admin = Context.Tag.Service<OutboxAdmin>
type Progress = (done: number) => Effect.Effect<void>

/** Records that are changed in one step, at most. */
const batchSize = 500

/** Letters of one page, at most. */
const maxPage = 1_000

/** Stands for all sinks in the dead letter of a record that none could read. */
const corruptSink = "*"

const noProgress: Progress = () => Effect.void

/** Changes records batch by batch, each batch in one step. */
const inBatches = <A, E>(
  records: ReadonlyArray<A>,
  progress: Progress,
  change: (batch: ReadonlyArray<A>) => Effect.Effect<void, E>
): Effect.Effect<void, E> =>
  Effect.forEach(
    Array.from({ length: Math.ceil(records.length / batchSize) }, (_, at) => at * batchSize),
    (from) => {
      const batch = records.slice(from, from + batchSize)
      return Effect.zipRight(change(batch), progress(from + batch.length))
    },
    { discard: true }
  )

const isMeant =
  (filter: DeadFilter) =>
  ({ letter, row }: DeadRow): boolean => {
    const message = messageOf(row)
    return (
      (filter.messageIds === undefined || filter.messageIds.includes(letter.messageId)) &&
      (filter.sink === undefined || letter.sink === filter.sink) &&
      (filter.key === undefined || message?.key === filter.key) &&
      (filter.topic === undefined || message?.topic === filter.topic) &&
      (filter.reason === undefined || letter.reason === filter.reason) &&
      (filter.from === undefined || letter.at >= filter.from) &&
      (filter.before === undefined || letter.at < filter.before)
    )
  }

const byAge = (a: DeadRow, b: DeadRow): number =>
  a.letter.at - b.letter.at || (a.id < b.id ? -1 : Number(a.id > b.id))

const meant = (state: MemoryState, filter: DeadFilter): ReadonlyArray<DeadRow> =>
  state.dead.values().filter(isMeant(filter)).toSorted(byAge)

const listed = ({ letter, row }: DeadRow): ListedDeadLetter => {
  const message = messageOf(row)
  return { ...letter, key: message?.key, topic: message?.topic, sequence: message?.sequence }
}

const tokenOf = ({ id, letter }: DeadRow): string => JSON.stringify([letter.at, id])

const readToken = Schema.decodeOption(Schema.parseJson(Schema.Tuple(Schema.Number, Schema.String)))

const isAfter = (token: string): Option.Option<(row: DeadRow) => boolean> =>
  Option.map(
    readToken(token),
    ([at, id]) =>
      (row) =>
        row.letter.at > at || (row.letter.at === at && row.id > id)
  )

const listing = (state: MemoryState): Pick<Admin, "deadLetters" | "blocked"> => ({
  deadLetters: ({ after, filter, limit }) =>
    Effect.suspend(() => {
      const isLeft = after === undefined ? Option.some(() => true) : isAfter(after)
      if (limit < 1 || limit > maxPage || Option.isNone(isLeft)) {
        return Effect.fail(new OutboxError({ reason: "Refused", operation: "deadLetters" }))
      }
      const left = meant(state, filter).filter(isLeft.value)
      const page = left.slice(0, limit)
      const last = page.at(-1)
      const next = last === undefined || left.length === page.length ? undefined : tokenOf(last)
      return Effect.succeed({ letters: page.map(listed), next })
    }),
  blocked: ({ limit, sink }) =>
    Effect.sync(() => {
      const keys = new Map<string, BlockedKey>()
      for (const row of meant(state, sink === undefined ? {} : { sink })) {
        const key = messageOf(row.row)?.key
        if (key !== undefined && row.letter.blocks) countBlocked(state, keys, row, key)
      }
      return [...keys.values()].slice(0, limit)
    })
})

/** Counts one more dead letter of a key; called with the oldest first. */
const countBlocked = (
  state: MemoryState,
  keys: Map<string, BlockedKey>,
  { letter, slot }: DeadRow,
  key: string
): void => {
  const name = JSON.stringify([letter.sink, key])
  const known = keys.get(name)
  if (known !== undefined) return void keys.set(name, { ...known, deadLetters: known.deadLetters + 1 })
  const waiting = state.rows
    .inSlots([slot])
    .filter((row) => isOwedBy(row, letter.sink) && messageOf(row)?.key === key).length
  keys.set(name, { sink: letter.sink, key, deadLetters: 1, since: letter.at, waiting })
}

/** Has a sink owe a message once more. What is ready or scheduled comes to the sink anyway. */
const oweAgain = (
  state: MemoryState,
  message: Message,
  sink: string,
  history: ReadonlyArray<FailedAttempt> = []
): void => {
  const row = state.rows.get(message.id)
  if (row === undefined) {
    const stored = storedMessage(message, {}, history)
    state.put({ id: message.id, slot: message.slot, state: "behind", behind: [sink], stored })
  } else if (row.state === "behind" && row.stored._tag === "Message") {
    const { [sink]: _, ...marks } = row.stored.marks ?? {}
    const stored = storedMessage(row.stored.message, marks, [...(row.stored.history ?? []), ...history])
    state.put({ ...row, behind: [...new Set([...row.behind, sink])], stored })
  }
}

const isSuperseded = (state: MemoryState, sink: string, message: Message): boolean =>
  state.sinks.get(sink)?.isMirror === true && (state.sequences.get(message.key) ?? 0) > message.sequence

/** Refuses as the unique index of a database would, when somebody has written the place of one anew. */
const refusingTaken = (
  state: MemoryState,
  messages: ReadonlyArray<Message>,
  operation: string,
  write: () => void
) =>
  Effect.suspend(() =>
    messages.some((message) => state.isPlaceTaken(message))
      ? Effect.fail(new OutboxError({ reason: "DuplicateSequence", operation }))
      : Effect.sync(write)
  )

const requeueing = (state: MemoryState): Pick<Admin, "requeue" | "discard"> => ({
  requeue: (filter, progress = noProgress) =>
    Effect.gen(function* () {
      const counts = { requeued: 0, superseded: 0, corrupt: 0 }
      const requeueBatch = (batch: ReadonlyArray<DeadRow>) =>
        Effect.suspend(() => {
          const there = batch.filter(({ id }) => state.dead.get(id) !== undefined)
          const fit = there.flatMap((row) => {
            const message = messageOf(row.row)
            if (message === undefined || row.letter.sink === corruptSink) counts.corrupt += 1
            else if (isSuperseded(state, row.letter.sink, message)) counts.superseded += 1
            else return [{ ...row, message }]
            return []
          })
          const messages = fit.map(({ message }) => message)
          return refusingTaken(state, messages, "requeue", () => {
            for (const { id, letter, message } of fit) {
              oweAgain(state, message, letter.sink, letter.history)
              state.dead.delete(id)
            }
            counts.requeued += fit.length
            state.raiseChanges(fit.map(({ slot }) => slot))
          })
        })
      yield* inBatches(meant(state, filter), progress, requeueBatch)
      return counts
    }),
  discard: (filter, progress = noProgress) =>
    Effect.gen(function* () {
      let discarded = 0
      const discardBatch = (batch: ReadonlyArray<DeadRow>) =>
        Effect.sync(() => {
          const there = batch.filter(({ id }) => state.dead.get(id) !== undefined)
          for (const { id } of there) state.dead.delete(id)
          state.raiseChanges(there.map(({ slot }) => slot))
          discarded += there.length
        })
      yield* inBatches(meant(state, filter), progress, discardBatch)
      return discarded
    })
})

/** Only what the sink takes: an original must never get to a sink that is for anonymized data. */
const replayed = (state: MemoryState, filter: ReplayFilter): ReadonlyArray<Message> => {
  const taken = state.sinks.get(filter.sink)?.topics ?? []
  return state
    .delivered()
    .filter(
      ({ deliveredAt, message }) =>
        taken.includes(message.topic) &&
        (filter.topic === undefined || message.topic === filter.topic) &&
        (filter.key === undefined || message.key === filter.key) &&
        (filter.from === undefined || deliveredAt >= filter.from) &&
        (filter.before === undefined || deliveredAt < filter.before)
    )
    .map(({ message }) => message)
    .toSorted(byPlace)
}

const replaying = (state: MemoryState): Pick<Admin, "replay"> => ({
  replay: (filter, progress = noProgress) =>
    Effect.gen(function* () {
      const messages = replayed(state, filter)
      yield* inBatches(messages, progress, (batch) =>
        refusingTaken(state, batch, "replay", () => {
          for (const message of batch) oweAgain(state, message, filter.sink)
          state.raiseChanges(batch.map(({ slot }) => slot))
        })
      )
      return messages.length
    })
})

const sinking = (state: MemoryState): Pick<Admin, "sinks" | "removeSink"> => ({
  sinks: Effect.sync(() => [...state.sinks.values()]),
  removeSink: (name, progress = noProgress) =>
    Effect.gen(function* () {
      // First, so that nobody leaves more behind for it.
      const wasRegistered = state.sinks.delete(name)
      const owed = state.rows.values().filter((row) => isOwedBy(row, name))
      const dead = meant(state, { sink: name })
      // A removal that was interrupted goes on, though the registration is gone.
      if (!wasRegistered && owed.length === 0 && dead.length === 0) return undefined
      yield* inBatches(owed, progress, (batch) =>
        Effect.sync(() => {
          for (const { id } of batch) {
            const row = state.rows.get(id)
            if (row !== undefined && isOwedBy(row, name)) state.pull(row, (sink) => sink === name, true)
          }
        })
      )
      for (const { id } of dead) state.dead.delete(id)
      state.raiseChanges(Slot.all)
      return owed.length
    })
})

/** The admin port over what the database holds. */
export const make = (state: MemoryState): Admin =>
  OutboxAdmin.of({
    status: Effect.sync(() => ({
      stats: Stats.of(state),
      members: membersOf(state).map((member) => ({
        ...member,
        slots: state.slots.filter(({ owner }) => owner === member.owner).length
      })),
      freeSlots: state.slots.filter(({ owner }) => owner === undefined || !state.members.has(owner)).length,
      suspectSlots: state.slots.filter(({ suspect }) => suspect).length,
      sinks: [...state.sinks.values()]
    })),
    ...listing(state),
    ...requeueing(state),
    ...replaying(state),
    ...sinking(state)
  })
