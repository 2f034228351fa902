import { type Duration, Effect, Fiber } from "effect"

/** Works on an item until it is done with; where it would have to wait, only until `stopping` is over. It does not fail. */
export type Work<A> = (item: A, stopping: Effect.Effect<void>) => Effect.Effect<void>

interface Identified<A> {
  readonly id: string
  readonly item: A
}

interface Lane<A> {
  readonly queue: Array<Identified<A>>
  fiber: Fiber.RuntimeFiber<void> | undefined
}

/**
 * Works on items of one key strictly one after the other, on those of different keys at the same time. Holds
 * `capacity` items at most, if those who offer mind the `room`.
 */
export class KeyLanes<A> {
  readonly #work: Work<A>
  readonly #capacity: number
  readonly #lanes = new Map<string, Lane<A>>()
  readonly #items = new Map<string, A>()
  readonly #hasRoom = Effect.unsafeMakeLatch(true)
  readonly #stopping = Effect.unsafeMakeLatch(false)
  #isStopping = false

  constructor(capacity: number, work: Work<A>) {
    this.#capacity = capacity
    this.#work = work
  }

  get size(): number {
    return this.#items.size
  }

  get room(): number {
    return Math.max(0, this.#capacity - this.#items.size)
  }

  /** Waits until there is room. */
  get hasRoom(): Effect.Effect<void> {
    return this.#hasRoom.await
  }

  /** What was offered first of all that is not done with. */
  get oldest(): A | undefined {
    for (const item of this.#items.values()) return item
    return undefined
  }

  /** Puts an item behind the others of its key, unless one of that id is there already. */
  offer(id: string, key: string, item: A): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#items.has(id)) return Effect.void
      this.#items.set(id, item)
      if (this.room === 0) this.#hasRoom.unsafeClose()
      const known = this.#lanes.get(key)
      if (known !== undefined) {
        known.queue.push({ id, item })
        return Effect.void
      }
      const lane: Lane<A> = { queue: [{ id, item }], fiber: undefined }
      this.#lanes.set(key, lane)
      return Effect.map(Effect.forkDaemon(Effect.interruptible(this.#run(key, lane))), (fiber) => {
        lane.fiber = fiber
      })
    }).pipe(Effect.uninterruptible)
  }

  /** Lets those who are at work finish, but not for longer than this; nobody takes up another item. */
  stop(within: Duration.DurationInput): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isStopping = true
      this.#stopping.unsafeOpen()
      const fibers = [...this.#lanes.values()].flatMap(({ fiber }) => fiber ?? [])
      return Fiber.awaitAll(fibers).pipe(
        // Finalizers cannot be interrupted, and so would wait for what their time limit gave up.
        Effect.interruptible,
        Effect.timeout(within),
        Effect.ignore,
        Effect.zipRight(Fiber.interruptAll(fibers))
      )
    })
  }

  #run(key: string, lane: Lane<A>): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      for (let next = lane.queue[0]; next !== undefined && !this.#isStopping; next = lane.queue[0]) {
        yield* this.#work(next.item, this.#stopping.await)
        lane.queue.shift()
        this.#items.delete(next.id)
        this.#hasRoom.unsafeOpen()
      }
      this.#lanes.delete(key)
    })
  }
}
