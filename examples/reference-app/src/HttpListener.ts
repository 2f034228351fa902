import { createServer, type Server } from "node:http"
import type { Socket } from "node:net"
import { HttpServer, type HttpServerError } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Data, Duration, Effect, Layer, Scope } from "effect"
import { Settings } from "./Settings.ts"

/** Nobody can be served at the place that was asked for. */
export class CannotListen extends Data.TaggedError("CannotListen")<{ readonly message: string }> {}

/** How long a stop waits for answers that are on their way. */
const finishWithin = Duration.millis(500)

/** A request must have come so soon, its headers sooner; an idle connection is closed after a while. */
const limits = { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 20_000 }

/** Connections at once; more are refused. */
const maxConnections = 1_000

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error"

const explain = (host: string, port: number, code: string): string => {
  switch (code) {
    case "EADDRINUSE":
      return `Port ${port} of ${host} is taken: end the program that listens there, or choose another port with PORT (0 takes a free one).`
    case "EACCES":
      return `This user may not listen at port ${port} of ${host}: choose one from 1024 on with PORT.`
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `HOST ${host} is no address of this machine: 127.0.0.1 serves this machine alone, 0.0.0.0 all who can reach it.`
    default:
      return `It is not possible to listen at port ${port} of ${host} (${code}): choose others with HOST and PORT.`
  }
}

/** All connections of a server, those too that have become WebSockets and are no longer its own affair. */
const trackConnections = (server: Server): ReadonlySet<Socket> => {
  const sockets = new Set<Socket>()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  return sockets
}

/** A server that is closed waits for its connections for ever: what is still open after a while is cut. */
const cutLater = (server: Server, sockets: ReadonlySet<Socket>): void => {
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, Duration.toMillis(finishWithin)).unref()
  server.once("close", () => clearTimeout(timer))
}

const make = Effect.gen(function* () {
  const { host, port } = (yield* Settings).http
  const node = createServer(limits)
  node.maxConnections = maxConnections
  const sockets = trackConnections(node)
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => {
    cutLater(node, sockets)
    return Scope.close(scope, exit)
  })
  return yield* NodeHttpServer.make(() => node, { host, port }).pipe(
    Scope.extend(scope),
    Effect.mapError(
      ({ cause }: HttpServerError.ServeError) =>
        new CannotListen({ message: explain(host, port, codeOf(cause)) })
    )
  )
})

/** A server at HOST and PORT that answers nothing yet. */
export const layer: Layer.Layer<HttpServer.HttpServer, CannotListen, Settings> = Layer.scoped(
  HttpServer.HttpServer,
  make
)
