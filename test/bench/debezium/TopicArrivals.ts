import { Worker } from "node:worker_threads"
import { Effect, type Scope } from "effect"

/** What a consumer of Kafka saw in one answer, and when, by `nowMillis`. */
export interface Seen {
  readonly atMillis: number
  readonly keys: ReadonlyArray<string>
}

/** Keys that are waited for. Each is that of one message. */
export interface Expected {
  /** When each was seen first; returns when all were. */
  readonly all: Effect.Effect<ReadonlyMap<string, number>>
}

export interface TopicArrivals {
  /** To be asked for before the messages are written. Ends what was expected before. */
  readonly expect: (keys: Iterable<string>) => Expected
}

class Waiting {
  readonly #pending: Set<string>
  readonly #seen = new Map<string, number>()
  #resolve: (seen: ReadonlyMap<string, number>) => void = () => undefined
  readonly all: Promise<ReadonlyMap<string, number>>

  constructor(keys: Iterable<string>) {
    this.#pending = new Set(keys)
    this.all = new Promise((resolve) => (this.#resolve = resolve))
  }

  note({ atMillis, keys }: Seen): void {
    for (const key of keys) if (this.#pending.delete(key)) this.#seen.set(key, atMillis)
    if (this.#pending.size === 0) this.#resolve(this.#seen)
  }
}

/** Follows a topic of Kafka from its end on, in a thread of its own. */
export const follow = (
  brokers: string,
  kafkaTopic: string
): Effect.Effect<TopicArrivals, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<TopicArrivals & { readonly worker: Worker }>((resume) => {
      const workerData = { brokers, kafkaTopic }
      const worker = new Worker(new URL("TopicReader.ts", import.meta.url), { workerData })
      let waiting = new Waiting([])
      const expect = (keys: Iterable<string>): Expected => {
        const next = new Waiting(keys)
        waiting = next
        return { all: Effect.promise(() => next.all) }
      }
      worker.on("error", (error) => resume(Effect.die(error)))
      worker.on("message", (message: Seen | "ready") => {
        if (message === "ready") resume(Effect.succeed({ worker, expect }))
        else waiting.note(message)
      })
    }),
    ({ worker }) => Effect.promise(() => worker.terminate())
  )
