import { Worker } from "node:worker_threads"
import { Effect, type Scope } from "effect"

/** When something was written, on the machine's monotonic clock, which all threads share. */
export interface Written {
  readonly key: string
  readonly atNanos: bigint
}

/** What a watching thread sends: `ready` first, then each write. */
export type Message = Written | "ready"

export interface Watcher {
  /** Waits until a key was written, and tells when it first was. */
  readonly written: (key: string) => Promise<bigint>
}

/**
 * When keys are written, told by the server itself to a thread that does nothing else: asking for them again and again
 * would take the very time that is measured.
 *
 * @param program file beside this one, which sends messages of the type above
 */
export const start = (program: string, workerData: unknown): Effect.Effect<Watcher, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Watcher & { readonly worker: Worker }>((resume) => {
      const worker = new Worker(new URL(program, import.meta.url), { workerData })
      const writtenAt = new Map<string, bigint>()
      const waiting = new Map<string, (atNanos: bigint) => void>()
      const written = async (key: string): Promise<bigint> =>
        writtenAt.get(key) ?? new Promise((resolve) => waiting.set(key, resolve))
      worker.on("message", (message: Message) => {
        if (message === "ready") return resume(Effect.succeed({ worker, written }))
        if (writtenAt.has(message.key)) return
        writtenAt.set(message.key, message.atNanos)
        waiting.get(message.key)?.(message.atNanos)
      })
    }),
    ({ worker }) => Effect.promise(() => worker.terminate())
  )
