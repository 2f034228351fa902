import { connect, type Socket } from "node:net"
import { Effect } from "effect"

export interface Answer {
  readonly status: number
  readonly contentType: string | null
  readonly text: string
}

/** One GET over a connection of its own. */
export const get = (url: string): Effect.Effect<Answer> =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { signal, headers: { connection: "close" } })
    const text = await response.text()
    return { status: response.status, contentType: response.headers.get("content-type"), text }
  })

/** A connection that sends this text and then leaves it at that. */
export const openConnection = (port: number, text: string) =>
  Effect.acquireRelease(
    Effect.async<Socket>((resume) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.write(text, () => resume(Effect.succeed(socket)))
      })
      socket.on("error", () => undefined)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** What comes back for this text, until the server ends the connection. */
export const exchange = (port: number, text: string): Effect.Effect<string> =>
  Effect.async((resume) => {
    let answer = ""
    const socket = connect(port, "127.0.0.1", () => socket.write(text))
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString()
    })
    socket.on("close", () => resume(Effect.succeed(answer)))
    socket.on("error", () => undefined)
    return Effect.sync(() => socket.destroy())
  })
