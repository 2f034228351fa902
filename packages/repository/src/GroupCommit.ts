import { Cause, Deferred, Effect, Either, Exit, FiberId, type Scope } from "effect"

export interface Options {
  /** Writes in one transaction, at most. Default 128. */
  readonly maxCount?: number
  /** Bytes of documents in one transaction, roughly, at most. Default 4 MiB. A heavier document goes alone. */
  readonly maxBytes?: number
  /** Transactions under way at once, at most. Default 2: one commits while the next is written. */
  readonly concurrency?: number
}

const defaults = { maxCount: 128, maxBytes: 4 * 1024 * 1024, concurrency: 2 }

/** Writes that are run on their own at the same time, at most. */
const maxAside = 16

/** On whom the failure of a group is: the write in this place, one of them that cannot be told, or nobody of them. */
export type Blame = number | "one" | "nobody"

/** What is written in groups. `E` is an error of a single write, `GE` one of a group. */
export interface Definition<Item, A, E, GE> {
  readonly idOf: (item: Item) => string
  /** Runs writes of different ids in one transaction of its own. */
  readonly run: (items: ReadonlyArray<Item>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>, GE>
  readonly blame: (error: GE) => Blame
  /** The error as callers of single writes know it. */
  readonly forCaller: (error: GE) => E
}

interface Pending<Item, A, E> {
  readonly item: Item
  readonly bytes: number
  readonly done: Deferred.Deferred<A, E>
  started: boolean
}

/**
 * Group commit: independent writes that arrive together share one transaction, whose cost they share too.
 * While a group commits, the next one gathers; nobody waits for company.
 *
 * - A group has one write of an id at most; a second one waits for a later group.
 * - A stale version, a missing document or a function that throws fails its own caller; the others go on.
 * - A failure that is of one write, such as a duplicate key, fails its own caller; the rest is run again without it.
 * - When it cannot be told whose fault it is (too large, refused, contended, a defect), each is run on its own, and
 *   later groups do not wait for them.
 * - Another failure, such as an unknown commit, is that of everyone in the group; nothing is run again.
 * - An interruption before the group starts withdraws the write; afterwards it waits for the outcome.
 */
export interface GroupCommit<Item, A, E> {
  /** @param bytes size of the documents to be written, roughly */
  readonly submit: (item: Item, bytes: number) => Effect.Effect<A, E>
}

/** What a group needs of those around it. */
interface Surroundings<Item, A, E, GE> extends Definition<Item, A, E, GE> {
  /** Gives a caller its outcome. */
  readonly settle: (pending: Pending<Item, A, E>, exit: Exit.Exit<A, E>) => Effect.Effect<void>
  /** Runs writes on their own, apart from the groups that follow. */
  readonly aside: (run: Effect.Effect<void>) => Effect.Effect<void>
}

type Group<Item, A, E> = ReadonlyArray<Pending<Item, A, E>>

const settleEach = <Item, A, E, GE>(
  { settle }: Surroundings<Item, A, E, GE>,
  group: Group<Item, A, E>,
  exitOf: (position: number) => Exit.Exit<A, E>
) => Effect.forEach(group, (pending, position) => settle(pending, exitOf(position)), { discard: true })

/** Runs a group until every caller has an outcome, or is left to a run of its own. */
const runGroup = <Item, A, E, GE>(
  around: Surroundings<Item, A, E, GE>,
  group: Group<Item, A, E>
): Effect.Effect<void> =>
  group.length === 0
    ? Effect.void
    : Effect.flatMap(Effect.exit(around.run(group.map(({ item }) => item))), (exit) =>
        Exit.match(exit, {
          onSuccess: (results) =>
            settleEach(around, group, (position) => results[position] ?? Exit.die("no result")),
          onFailure: (cause) =>
            Either.match(Cause.failureOrCause(cause), {
              onLeft: (error) =>
                runWithout(around, group, around.blame(error), Exit.fail(around.forCaller(error))),
              onRight: (defect) => runWithout(around, group, "one", Exit.failCause(defect))
            })
        })
      )

/** After a failure: takes out whom it concerns and goes on with the rest. */
const runWithout = <Item, A, E, GE>(
  around: Surroundings<Item, A, E, GE>,
  group: Group<Item, A, E>,
  blame: Blame,
  failure: Exit.Exit<never, E>
): Effect.Effect<void> => {
  const blamed = typeof blame === "number" ? group[blame] : undefined
  if (blamed !== undefined) {
    const rest = group.filter((pending) => pending !== blamed)
    return Effect.zipRight(around.settle(blamed, failure), runGroup(around, rest))
  }
  // One heavy or contended document must neither fail its neighbours nor hold them up.
  if (blame === "one" && group.length > 1) {
    return Effect.forEach(group, (pending) => around.aside(runGroup(around, [pending])), { discard: true })
  }
  return settleEach(around, group, () => failure)
}

export const make = <Item, A, E, GE>(
  definition: Definition<Item, A, E, GE>,
  given: Options = {}
): Effect.Effect<GroupCommit<Item, A, E>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    if (options.maxCount < 1 || options.concurrency < 1) {
      return yield* Effect.dieMessage("a group needs a maxCount and a concurrency of 1 at least")
    }
    const { idOf } = definition
    const waiting = new Set<Pending<Item, A, E>>()
    /** Ids in groups under way. */
    const busy = new Set<string>()
    /** Open while there may be something to start. */
    const arrivals = yield* Effect.makeLatch(false)
    let closed = false

    /** The first writes that may go together, in order of arrival. */
    const nextGroup = (): Group<Item, A, E> => {
      const group: Array<Pending<Item, A, E>> = []
      const blocked = new Set<string>()
      let bytes = 0
      for (const pending of waiting) {
        const id = idOf(pending.item)
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
        busy.add(idOf(pending.item))
        pending.started = true
      }
      // What is left waits for a group under way, and that one opens the latch when it ends.
      if (group.length === 0 || waiting.size === 0) arrivals.unsafeClose()
      return group
    })

    const settle = (pending: Pending<Item, A, E>, exit: Exit.Exit<A, E>) =>
      Effect.suspend(() => {
        busy.delete(idOf(pending.item))
        // Writes of the same id may have waited for this one.
        if (waiting.size > 0) arrivals.unsafeOpen()
        return Effect.asVoid(Deferred.done(pending.done, exit))
      })

    const scope = yield* Effect.scope
    const places = yield* Effect.makeSemaphore(maxAside)
    const aside = (work: Effect.Effect<void>) =>
      Effect.asVoid(Effect.forkIn(Effect.uninterruptible(places.withPermits(1)(work)), scope))

    const around = { ...definition, settle, aside }
    const startGroup = Effect.flatMap(start, (group) => runGroup(around, group))
    // Whoever waits at the latch is woken after all who are about to submit: they get into the same group.
    const step = Effect.zipRight(arrivals.await, Effect.uninterruptible(startGroup))
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closed = true
        return settleEach(around, [...waiting], () => Exit.interrupt(FiberId.none))
      })
    )
    // A layer may be built where nothing can be interrupted; a worker must end with its scope all the same.
    const worker = Effect.interruptible(Effect.forever(step))
    const workers = Array.from({ length: options.concurrency }, () => Effect.forkScoped(worker))
    yield* Effect.all(workers, { discard: true })

    const submit = (item: Item, bytes: number) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const done = yield* Deferred.make<A, E>()
          // Nothing may come between this check and the entry, or a closing scope would not see the write.
          if (closed) return yield* Effect.interrupt
          const pending = { item, bytes, done, started: false }
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
