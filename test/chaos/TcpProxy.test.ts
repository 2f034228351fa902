import { connect, createServer, type Socket } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { inject } from "vitest"
import { MongoClient } from "mongodb"
import * as TcpProxy from "../setup/TcpProxy.ts"
import { mongoClientName } from "../setup/mongoClientName.ts"

const portOf = (address: unknown): number => (address as { readonly port: number }).port

/** A server that keeps what it hears and sends it back. */
const echo = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly heard: () => string; readonly close: () => void }>(
    (resume) => {
      let heard = ""
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => undefined)
        socket.on("data", (chunk) => {
          heard += chunk.toString()
          socket.write(chunk)
        })
      })
      const close = () => {
        server.close()
        for (const socket of sockets) socket.destroy()
      }
      server.listen({ port: 0, host: "127.0.0.1" }, () =>
        resume(Effect.succeed({ port: portOf(server.address()), heard: () => heard, close }))
      )
    }
  ),
  ({ close }) => Effect.sync(close)
)

interface Client {
  readonly say: (text: string) => void
  readonly heard: () => string
  readonly ended: () => boolean
  readonly destroy: () => void
}

const client = (port: number): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let heard = ""
      let ended = false
      const socket = connect({ host: "127.0.0.1", port })
      socket.on("error", () => undefined)
      socket.on("close", () => (ended = true))
      socket.on("data", (chunk) => (heard += chunk.toString()))
      return {
        say: (text) => void socket.write(text),
        heard: () => heard,
        ended: () => ended,
        destroy: () => void socket.destroy()
      }
    }),
    ({ destroy }) => Effect.sync(destroy)
  )

const until = (condition: () => boolean) =>
  Effect.promise(async () => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
  })

/** Long enough for bytes on one machine to arrive, if they were on their way at all. */
const aWhile = Effect.sleep("200 millis")

/** The first letter that a client says is its name. */
const proxyTo = (target: number) =>
  TcpProxy.make({ target, clientOf: (first) => first.toString("utf8", 0, 1) })

it.scopedLive("a client that is cut off is told at once, and others are not", () =>
  Effect.gen(function* () {
    const server = yield* echo
    const proxy = yield* proxyTo(server.port)
    const a = yield* client(proxy.port)
    const b = yield* client(proxy.port)
    a.say("a1")
    b.say("b1")
    yield* until(() => a.heard() === "a1" && b.heard() === "b1")

    yield* proxy.set("a", "cut")
    yield* until(a.ended)
    const again = yield* client(proxy.port)
    again.say("a2")
    yield* until(again.ended)
    b.say("b2")
    yield* until(() => b.heard() === "b1b2")
    expect(server.heard()).toBe("a1b1b2")

    yield* proxy.set("a", "flows")
    const back = yield* client(proxy.port)
    back.say("a3")
    yield* until(() => back.heard() === "a3")
  })
)

it.scopedLive("what a client says while its traffic hangs arrives late, also over a new connection", () =>
  Effect.gen(function* () {
    const server = yield* echo
    const proxy = yield* proxyTo(server.port)
    const old = yield* client(proxy.port)
    old.say("a1")
    yield* until(() => old.heard() === "a1")

    yield* proxy.set("a", "hangs")
    const fresh = yield* client(proxy.port)
    old.say(" late")
    fresh.say("a2")
    yield* aWhile
    expect(server.heard()).toBe("a1")
    expect([old.ended(), fresh.ended()]).toEqual([false, false])

    yield* proxy.set("a", "flows")
    yield* until(() => old.heard() === "a1 late" && fresh.heard() === "a2")
  })
)

it.scopedLive("what a client said before it gave up arrives all the same", () =>
  Effect.gen(function* () {
    const server = yield* echo
    const proxy = yield* proxyTo(server.port)
    const impatient = yield* client(proxy.port)
    impatient.say("a1")
    yield* until(() => impatient.heard() === "a1")
    yield* proxy.set("a", "hangs")
    impatient.say(" last words")
    yield* aWhile
    impatient.destroy()
    yield* aWhile
    expect(server.heard()).toBe("a1")
    yield* proxy.set("a", "flows")
    yield* until(() => server.heard() === "a1 last words")
  })
)

it.scopedLive("connections of a MongoDB client are known by the client's name", () =>
  Effect.gen(function* () {
    const [host, port] = new URL(inject("mongoUri")).host.split(":")
    const names: Array<string> = []
    const proxy = yield* TcpProxy.make({
      target: Number(port),
      clientOf: (first) => {
        names.push(mongoClientName(first))
        return names.at(-1) ?? ""
      }
    })
    const ping = (options: { readonly appName?: string }) =>
      Effect.promise(async () => {
        const mongo = new MongoClient(`mongodb://${host}:${proxy.port}/?directConnection=true`, options)
        await mongo.db("admin").command({ ping: 1 })
        await mongo.close()
      })
    yield* ping({ appName: "relay-1" })
    expect(new Set(names)).toEqual(new Set(["relay-1"]))
    yield* ping({})
    expect(new Set(names)).toEqual(new Set(["relay-1", ""]))
  })
)
