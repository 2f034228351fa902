import { createServer } from "node:net"
import { Effect } from "effect"

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

/** A port of 127.0.0.1 that was free a moment ago: whoever uses it must be ready to choose again. */
export const freePort: Effect.Effect<number> = Effect.orDie(tryListen(0))
