import { createServer } from "node:net"
import { Effect, Random } from "effect"

const tryListen = (port: number): Effect.Effect<number, Error> =>
  Effect.async((resume) => {
    const server = createServer()
    server.unref()
    server.once("error", (error) => resume(Effect.fail(error)))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address()
      const bound = typeof address === "object" && address !== null ? address.port : port
      server.close(() => resume(Effect.succeed(bound)))
    })
  })

/** Whether nothing listens on this port of 127.0.0.1. */
export const isPortFree = (port: number): Effect.Effect<boolean> =>
  tryListen(port).pipe(
    Effect.as(true),
    Effect.orElseSucceed(() => false)
  )

/**
 * Systems give outgoing connections ports from 32768 (Linux) or 49152 (IANA) on. Below, nobody takes the port of a
 * server that is down for a moment and comes back on it.
 */
const lowest = 15_000
const highest = 32_000

const attempts = 100

/** A port of 127.0.0.1 that was free a moment ago: whoever uses it must be ready to choose again. */
export const freePort: Effect.Effect<number> = Random.nextIntBetween(lowest, highest).pipe(
  Effect.flatMap(tryListen),
  Effect.retry({ times: attempts }),
  Effect.orElse(() => tryListen(0)),
  Effect.orDie
)
