import { CoalescedCalls, MongoDatabase, type MongoError, Transaction } from "@twinbox/mongodb"
import { Message, MessageHeaders, TraceContext, Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Context, Effect, Option, type Scope } from "effect"
import * as GroupCommit from "./GroupCommit.ts"
import { KeyQueue } from "./KeyQueue.ts"
import type { WriteError } from "./RepositoryError.ts"
import { forCaller, type WriteBatch } from "./WriteBatch.ts"
import * as WriteGroup from "./WriteGroup.ts"
import type { Intent, Planned, Write } from "./WritePlan.ts"

/** Brings writes into a transaction: the caller's, a shared one, or one of their own. */
export interface Writer {
  /** @param bytes size of the documents to be written, roughly */
  readonly one: (write: Write, bytes: number) => Effect.Effect<Planned, WriteError>
  /** All in one transaction, or none. */
  readonly many: (writes: ReadonlyArray<Write>) => Effect.Effect<ReadonlyArray<Planned>, WriteError>
}

/** A write of an intent, with new ids for its messages. */
export const writeOf = (intent: Intent): Write => ({
  intent,
  messageIds: { anonymized: Message.makeId(), original: Message.makeId() }
})

/** Makes the writes; the first that cannot be made fails all of them. */
const allOrNothing = (batch: WriteBatch, writes: ReadonlyArray<Write>) =>
  Effect.flatMap(batch.execute(writes), (results) => Effect.all(results))

/** A group that meets other writers soon lets its writes go each on its own: patience would hold up all of them. */
export const groupOptions: Transaction.Options = { maxAttempts: 4 }

/** A fiber that writes for several is in no span of theirs, and has none of their headers: each write brings its own. */
const forSeveral = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  MessageHeaders.detached(TraceContext.detached(effect))

/** A write with the headers and the trace of the fiber that asks for it. */
const withHeaders = (write: Write): Effect.Effect<Write> =>
  Effect.zipWith(MessageHeaders.current, TraceContext.current, (given, trace) => {
    const headers = { ...given, ...write.headers }
    return {
      ...write,
      headers: Option.match(trace, {
        onNone: () => headers,
        onSome: (traceparent) => TraceContext.addTo(headers, traceparent)
      })
    }
  })

export const make = (
  batch: WriteBatch,
  group: GroupCommit.Options | undefined
): Effect.Effect<Writer, never, MongoDatabase.MongoDatabase | Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* MongoDatabase.MongoDatabase
    const queue = new KeyQueue()
    const transact = <A, E>(
      body: Effect.Effect<A, E, OutboxTransaction.Transaction>,
      options?: Transaction.Options
    ): Effect.Effect<A, E | MongoError.MongoError> => Transaction.runIn(database, body, options)

    const single = (write: Write) =>
      Effect.mapError(
        transact(
          Effect.flatMap(batch.execute([write]), ([result]) => result ?? Effect.dieMessage("no result"))
        ),
        forCaller
      )

    /** Nobody else knows an id that was made just now: no need to queue for it. */
    const alone = (write: Write) =>
      write.intent._tag === "Create" && write.intent.isNewId
        ? single(write)
        : queue.inTurn(write.intent.id, single(write))

    const shared =
      group === undefined
        ? undefined
        : yield* GroupCommit.make(
            WriteGroup.make((writes) =>
              forSeveral(transact(batch.execute(writes), writes.length > 1 ? groupOptions : undefined))
            ),
            group
          )

    const inOwn =
      shared === undefined
        ? alone
        : (write: Write, bytes: number) =>
            Effect.flatMap(withHeaders(write), (complete) => shared.submit(complete, bytes))

    const execute = CoalescedCalls.make<Write, Planned, WriteError>({
      idOf: WriteGroup.idOf,
      run: (writes) => forSeveral(Effect.mapError(batch.execute(writes), forCaller))
    })

    return {
      // Inside the caller's transaction there is no queue but that of its own fibers.
      one: (write, bytes) =>
        Effect.contextWithEffect((context: Context.Context<never>) => {
          const open = Context.getOption(context, OutboxTransaction.Transaction)
          return Option.isSome(open)
            ? Effect.provideService(
                Effect.flatMap(withHeaders(write), execute),
                OutboxTransaction.Transaction,
                open.value
              )
            : inOwn(write, bytes)
        }),
      many: (writes) => Effect.mapError(transact(allOrNothing(batch, writes)), forCaller)
    }
  })
