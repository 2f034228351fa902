import type { Base } from "@platformatic/kafka"
import { Duration, Effect } from "effect"

/** Time for a clean end. */
const closeLimit = Duration.seconds(2)

/**
 * Keeps a client's lost connections from ending the process: the client listens to the first error of a connection
 * only, and a second one would be nobody's.
 */
export const guarded = <C extends Pick<Base, "connections">>(client: C): C => {
  client.connections.on("connecting", ({ connection }) => {
    connection.on("error", () => undefined)
  })
  return client
}

/** Ends a client cleanly, or leaves it behind when that takes too long. */
export const close = (
  end: () => Promise<unknown>,
  within: Duration.Duration = closeLimit
): Effect.Effect<void> =>
  // Finalizers cannot be interrupted, and so would wait for what their time limit gave up.
  Effect.tryPromise(end).pipe(Effect.interruptible, Effect.timeout(within), Effect.ignore)
