import { createServer, type IncomingMessage, type Server } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Data, Duration, Effect, Layer, type Scope } from "effect"
import * as MalformedHttp from "./MalformedHttp.ts"
import { Problem } from "./Problem.ts"
import * as RawAnswer from "./RawAnswer.ts"
import * as RequestId from "./RequestId.ts"
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

/** Who does not speak HTTP does not get as far as a request. */
const answerMalformed = (server: Server): void => {
  server.on("clientError", (error, socket) => {
    if (!socket.writable || codeOf(error) === "ECONNRESET") socket.destroy()
    else socket.end(MalformedHttp.answerTo(codeOf(error)))
  })
}

const starting = new Problem({ kind: "unavailable", detail: "The app is starting or stopping." })

/** The port is there before those who answer, and after them: nobody may be left without an answer. */
const answerMeanwhile = (server: Server): void => {
  server.on("request", (_request, response) => {
    const isAnswered = server.listenerCount("request") > 1
    if (!isAnswered) response.socket?.end(RawAnswer.of(starting, RequestId.of(undefined)))
  })
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
const close = (server: Server, sockets: ReadonlySet<Socket>) =>
  Effect.async<void>((resume) => {
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, Duration.toMillis(finishWithin)).unref()
    server.close(() => {
      clearTimeout(timer)
      resume(Effect.void)
    })
  })

const listen = (server: Server, host: string, port: number) =>
  Effect.async<void, CannotListen>((resume) => {
    const fail = (cause: unknown) => resume(new CannotListen({ message: explain(host, port, codeOf(cause)) }))
    server.once("error", fail)
    server.listen({ host, port }, () => {
      server.off("error", fail)
      resume(Effect.void)
    })
  })

const addressOf = (server: Server): HttpServer.Address => {
  const address = server.address()
  if (address === null || typeof address === "string") return { _tag: "UnixAddress", path: address ?? "" }
  return { _tag: "TcpAddress", hostname: address.address, port: address.port }
}

/** Does an upgrade, or refuses it: https://nodejs.org/api/http.html#event-upgrade_1 */
export type Taker = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

/** Where those register who turn connections into something else than HTTP. */
export class HttpUpgrades extends Context.Tag("@twinbox/reference-app/HttpUpgrades")<
  HttpUpgrades,
  {
    /** Gives the taker the upgrades of a path until the scope ends. All others are answered as ordinary requests. */
    readonly take: (path: string, taker: Taker) => Effect.Effect<void, never, Scope.Scope>
  }
>() {}

const makeUpgrades = () => {
  const takers = new Map<string, Taker>()
  const takerOf = ({ url = "" }: IncomingMessage) => takers.get(url.split("?", 1)[0] ?? "")
  const service = HttpUpgrades.of({
    take: (path, taker) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => takers.set(path, taker)),
          () => Effect.sync(() => takers.delete(path))
        )
      )
  })
  return { takerOf, service }
}

/** The platform's own server would take every upgrade, and set no limits to what comes then. */
const serveOn = (server: Server): Parameters<typeof HttpServer.make>[0]["serve"] =>
  Effect.fnUntraced(function* (app, middleware) {
    const handler = yield* middleware === undefined
      ? NodeHttpServer.makeHandler(app)
      : NodeHttpServer.makeHandler(app, middleware)
    yield* Effect.acquireRelease(
      Effect.sync(() => server.on("request", handler)),
      () => Effect.sync(() => server.off("request", handler))
    )
  })

const make = Effect.gen(function* () {
  const { host, port } = (yield* Settings).http
  const upgrades = makeUpgrades()
  const server = createServer({
    ...limits,
    shouldUpgradeCallback: (request) => upgrades.takerOf(request) !== undefined
  })
  server.maxConnections = maxConnections
  server.on("upgrade", (request, socket, head) => upgrades.takerOf(request)?.(request, socket, head))
  const sockets = trackConnections(server)
  answerMalformed(server)
  answerMeanwhile(server)
  yield* Effect.acquireRelease(listen(server, host, port), () => close(server, sockets))
  const http = HttpServer.make({ address: addressOf(server), serve: serveOn(server) })
  return Context.make(HttpServer.HttpServer, http).pipe(Context.add(HttpUpgrades, upgrades.service))
})

/** A server at HOST and PORT that answers nothing yet. */
export const layer: Layer.Layer<HttpServer.HttpServer | HttpUpgrades, CannotListen, Settings> =
  Layer.scopedContext(make)
