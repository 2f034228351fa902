import { connect } from "node:net"
import { Effect } from "effect"

/** Whether something listens on this port of 127.0.0.1. Cheaper and quicker to say no than a driver. */
export const canConnect = (port: number): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const socket = connect({ host: "127.0.0.1", port })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })
