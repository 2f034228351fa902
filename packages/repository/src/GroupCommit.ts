import { Cause, Deferred, Effect, Either, Exit, FiberId, type Scope } from "effect"
import type { WriteError } from "./RepositoryError.ts"
import { type BatchError, forCaller, type Results } from "./WriteBatch.ts"
import type { Planned, Write } from "./WritePlan.ts"

export interface Options {
  /** Writes in one transaction, at most. Default 128. */
  readonly maxCount?: number
  /** Bytes of documents in one transaction, roughly, at most. Default 4 MiB. A heavier document goes alone. */
  readonly maxBytes?: number
  /** Transactions under way at once, at most. Default 2: one commits while the next is written. */
  readonly concurrency?: number
}

const defaults = { maxCount: 128, maxBytes: 4 * 1024 * 1024, concurrency: 2 }

interface Pending {
  readonly write: Write
  readonly bytes: number
  readonly done: Deferred.Deferred<Planned, WriteError>
  started: boolean
}

/** Runs writes of different ids in one transaction of its own. */
export type RunBatch = (writes: ReadonlyArray<Write>) => Effect.Effect<Results, BatchError>

/**
 * Group commit: independent writes that arrive together share one transaction, whose cost they share too.
 * While a group commits, the next one gathers; nobody waits for company.
 *
 * - A group has one write of an id at most; a second one waits for a later group.
 * - A stale version, a missing document or a function that throws fails its own caller; the others go on.
 * - A duplicate key fails its own caller; the rest is run again without it.
 * - When it cannot be told whose fault it is (too large, refused, contended), each is run on its own.
 * - An unknown commit is `CommitUnknown` for everyone in the group; nothing is run again.
 * - An interruption before the group starts withdraws the write; afterwards it waits for the outcome.
 */
export interface GroupCommit {
  readonly submit: (write: Write, bytes: number) => Effect.Effect<Planned, WriteError>
}

const settle = (pending: Pending, exit: Exit.Exit<Planned, WriteError>) => Deferred.done(pending.done, exit)

/** Whether a single write may have brought the error upon its group. None of these leaves anything written. */
const mayBeOfOne = (error: BatchError): boolean =>
  error._tag === "TransactionTooLarge" || error._tag === "WriteContention" || error._tag === "Refused"

const settleAll = (group: ReadonlyArray<Pending>, results: Results) =>
  Effect.forEach(group, (pending, position) => settle(pending, results[position] ?? Exit.die("no result")), {
    discard: true
  })

/** Runs a group until every caller has an outcome. */
const runGroup = (run: RunBatch, group: ReadonlyArray<Pending>): Effect.Effect<void> =>
  group.length === 0
    ? Effect.void
    : Effect.flatMap(Effect.exit(run(group.map(({ write }) => write))), (exit) =>
        Exit.match(exit, {
          onSuccess: (results) => settleAll(group, results),
          onFailure: (cause) =>
            Either.match(Cause.failureOrCause(cause), {
              onLeft: (error) => runWithout(run, group, error),
              onRight: (defect) => dieAll(group, defect)
            })
        })
      )

const dieAll = (group: ReadonlyArray<Pending>, cause: Cause.Cause<never>) =>
  Effect.forEach(group, (pending) => settle(pending, Exit.failCause(cause)), { discard: true })

/** After a failure: takes out whom it concerns and goes on with the rest. */
const runWithout = (run: RunBatch, group: ReadonlyArray<Pending>, error: BatchError): Effect.Effect<void> => {
  const refused = error._tag === "RefusedWrite" ? group[error.position] : undefined
  if (refused !== undefined) {
    const rest = group.filter((pending) => pending !== refused)
    return Effect.zipRight(settle(refused, Exit.fail(forCaller(error))), runGroup(run, rest))
  }
  // One heavy or contended document must not fail its neighbours.
  if (mayBeOfOne(error) && group.length > 1) {
    return Effect.forEach(group, (pending) => runGroup(run, [pending]), { discard: true })
  }
  return Effect.forEach(group, (pending) => settle(pending, Exit.fail(forCaller(error))), { discard: true })
}

export const make = (run: RunBatch, given: Options = {}): Effect.Effect<GroupCommit, never, Scope.Scope> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    if (options.maxCount < 1 || options.concurrency < 1) {
      return yield* Effect.dieMessage("a group needs a maxCount and a concurrency of 1 at least")
    }
    const waiting = new Set<Pending>()
    /** Ids in groups under way. */
    const busy = new Set<string>()
    /** Open while there may be something to start. */
    const arrivals = yield* Effect.makeLatch(false)
    let closed = false

    /** The first writes that may go together, in order of arrival. */
    const nextGroup = (): ReadonlyArray<Pending> => {
      const group: Array<Pending> = []
      const blocked = new Set<string>()
      let bytes = 0
      for (const pending of waiting) {
        const { id } = pending.write.intent
        if (group.length >= options.maxCount) break
        if (group.length > 0 && bytes + pending.bytes > options.maxBytes) break
        // The first of an id goes first: later ones wait even when it cannot go yet.
        if (busy.has(id) || blocked.has(id)) blocked.add(id)
        else {
          blocked.add(id)
          bytes += pending.bytes
          group.push(pending)
        }
      }
      return group
    }

    const start = Effect.sync(() => {
      const group = nextGroup()
      for (const pending of group) {
        waiting.delete(pending)
        busy.add(pending.write.intent.id)
        pending.started = true
      }
      // What is left waits for a group under way, and that one opens the latch when it ends.
      if (group.length === 0 || waiting.size === 0) arrivals.unsafeClose()
      return group
    })

    const finish = (group: ReadonlyArray<Pending>) =>
      Effect.suspend(() => {
        for (const pending of group) busy.delete(pending.write.intent.id)
        // Writes of the same ids may have waited for this group.
        return waiting.size > 0 ? arrivals.open : Effect.void
      })

    // A worker that finds nothing to start must not open the latch again, or it would turn in circles.
    const startGroup = Effect.flatMap(start, (group) =>
      group.length === 0 ? Effect.void : Effect.ensuring(runGroup(run, group), finish(group))
    )
    // The yield lets all who are about to submit get into the same group.
    const step = arrivals.await.pipe(
      Effect.zipRight(Effect.yieldNow()),
      Effect.zipRight(Effect.uninterruptible(startGroup))
    )
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closed = true
        return Effect.forEach(waiting, (pending) => settle(pending, Exit.interrupt(FiberId.none)), {
          discard: true
        })
      })
    )
    // A layer may be built where nothing can be interrupted; a worker must end with its scope all the same.
    const worker = Effect.interruptible(Effect.forever(step))
    const workers = Array.from({ length: options.concurrency }, () => Effect.forkScoped(worker))
    yield* Effect.all(workers, { discard: true })

    const submit = (write: Write, bytes: number) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const done = yield* Deferred.make<Planned, WriteError>()
          // Nothing may come between this check and the entry, or a closing scope would not see the write.
          if (closed) return yield* Effect.interrupt
          const pending: Pending = { write, bytes, done, started: false }
          waiting.add(pending)
          yield* arrivals.open
          return yield* restore(Deferred.await(pending.done)).pipe(
            Effect.onInterrupt(() =>
              pending.started
                ? Effect.ignore(Deferred.await(pending.done))
                : Effect.sync(() => waiting.delete(pending))
            )
          )
        })
      )
    return { submit }
  })
