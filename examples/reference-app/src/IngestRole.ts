import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { HttpServer } from "@effect/platform"
import type { MongoDatabase } from "@twinbox/mongodb"
import type { Outbox, OutboxStore } from "@twinbox/outbox"
import { Deferred, Duration, Effect, Either, FiberSet, Layer, Metric } from "effect"
import { type WebSocket, WebSocketServer } from "ws"
import * as Correlation from "./Correlation.ts"
import type { Customers } from "./Customers.ts"
import { HttpUpgrades } from "./HttpListener.ts"
import * as IngestDoor from "./IngestDoor.ts"
import * as IngestMetrics from "./IngestMetrics.ts"
import * as KafkaSinks from "./KafkaSinks.ts"
import * as MongoCheck from "./MongoCheck.ts"
import * as OpenAccess from "./OpenAccess.ts"
import { invalid, Problem } from "./Problem.ts"
import * as RawAnswer from "./RawAnswer.ts"
import type { Readiness } from "./Readiness.ts"
import * as RequestId from "./RequestId.ts"
import type { RoleError } from "./RoleFailures.ts"
import * as SessionAnswers from "./SessionAnswers.ts"
import { SessionLanes } from "./SessionLanes.ts"
import * as SessionSocket from "./SessionSocket.ts"
import * as SessionWrites from "./SessionWrites.ts"
import { type IngestSettings, Settings } from "./Settings.ts"
import { StatusBoard } from "./StatusBoard.ts"
import { StopSignal } from "./StopSignal.ts"
import { TokenBuckets } from "./TokenBuckets.ts"

export type Requirements =
  | Customers
  | MongoDatabase.MongoDatabase
  | Outbox.Outbox
  | OutboxStore.OutboxStore
  | Readiness
  | Settings
  | StatusBoard
  | StopSignal

export const path = "/websocket"

/** Bytes of a message, at most. */
export const maxMessageBytes = 64 * 1024

/** How long a stop waits for what is under way to be answered, and for clients to say good-bye. */
const finishWithin = Duration.millis(2_000)

/** A client that does not answer a close frame so long is cut. */
const closeTimeoutMillis = 1_000

const stopping = new Problem({ kind: "unavailable", detail: "Nothing was done: the program is stopping." })

const noHandshake = invalid([{ path: "", problem: "must be a WebSocket handshake of version 13 (RFC 6455)" }])

const makeServer = (refuse: (socket: Duplex, problem: Problem) => void): WebSocketServer =>
  new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    clientTracking: false,
    closeTimeout: closeTimeoutMillis,
    handleProtocols: (protocols) => (protocols.has(IngestDoor.protocol) ? IngestDoor.protocol : false)
  }).on("wsClientError", (_error, socket) => refuse(socket, noHandshake))

/** Serves sockets within the limits of the settings, until they end. */
const makeSockets = (
  ingest: IngestSettings,
  { answer }: SessionAnswers.SessionAnswers["Type"],
  stop: Effect.Effect<void>
) => {
  const places = new IngestDoor.Places(ingest)
  const lanes = new SessionLanes()
  const sessionRates = new TokenBuckets(ingest.rate)
  const addressRates = new TokenBuckets(ingest.ratePerAddress)
  const count = Effect.suspend(() => Metric.set(IngestMetrics.sockets, places.taken))

  /** Takes a place at once. */
  const serve = (webSocket: WebSocket, sessionId: string, address: string): Effect.Effect<unknown> => {
    places.enter(address)
    const served = SessionSocket.serve(webSocket, {
      admit: () => {
        const now = performance.now()
        return sessionRates.take(sessionId, now) && addressRates.take(address, now)
      },
      answer: (frame) => lanes.inTurn(sessionId, answer(sessionId, frame)),
      stop,
      pingEvery: ingest.pingMillis
    })
    const leave = Effect.sync(() => places.leave(address))
    return Effect.zipRight(count, served).pipe(
      Effect.tap((end) => Metric.increment(Metric.tagged(IngestMetrics.ended, "reason", end))),
      Effect.tap((end) => Effect.logInfo(`a WebSocket has ended: ${end}`)),
      Effect.ensuring(Effect.zipRight(leave, count)),
      Effect.annotateLogs(Correlation.sessionId, sessionId)
    )
  }
  return { places, serve }
}

/** Runs effects from the callbacks of sockets. */
type Run = (effect: Effect.Effect<unknown>) => unknown

/** Answers a handshake with a problem, and closes the connection. */
const refuseBy =
  (run: Run) =>
  (socket: Duplex, problem: Problem): void => {
    const requestId = RequestId.of(undefined)
    socket.once("finish", () => socket.destroy()).end(RawAnswer.of(problem, requestId))
    run(
      Effect.annotateLogs(Effect.logInfo("a WebSocket was refused"), {
        status: problem.status,
        [Correlation.requestId]: requestId
      })
    )
  }

/** Opens WebSockets at `path` until the signal to stop or the end of the scope; then they finish what is under way. */
const takeSockets = Effect.gen(function* () {
  const { apiTokens, ingest } = yield* Settings
  const upgrades = yield* HttpUpgrades
  const board = yield* StatusBoard
  const { received } = yield* StopSignal
  const stopped = yield* Deferred.make<void>()
  const fibers = yield* FiberSet.make()
  const run: Run = yield* FiberSet.runtime(fibers)<never>()
  const refuse = refuseBy(run)
  const server = makeServer(refuse)
  const { places, serve } = makeSockets(ingest, yield* SessionAnswers.SessionAnswers, Deferred.await(stopped))
  let isStopping = false

  const admit = (request: IncomingMessage, address: string): Effect.Effect<string, Problem> => {
    if (isStopping) return stopping
    return places.refusal(address) ?? IngestDoor.admit(request, apiTokens)
  }

  const stop = Effect.zipRight(
    Effect.sync(() => {
      isStopping = true
    }),
    Deferred.succeed(stopped, undefined)
  )
  const awaitSockets = Effect.interruptible(Effect.timeoutOption(FiberSet.awaitEmpty(fibers), finishWithin))
  // Finalizers run last first: nothing new, what is under way is finished, what is left is cut.
  yield* Effect.addFinalizer(() => Effect.zipRight(stop, awaitSockets))
  yield* Effect.forkScoped(Effect.zipRight(received, stop))
  yield* upgrades.take(path, (request, socket, head) => {
    // A connection that breaks must not end the process.
    socket.on("error", () => undefined)
    const address = request.socket.remoteAddress ?? "unknown"
    Either.match(Effect.runSync(Effect.either(admit(request, address))), {
      onLeft: (problem) => refuse(socket, problem),
      onRight: (sessionId) =>
        server.handleUpgrade(request, socket, head, (webSocket) => {
          run(serve(webSocket, sessionId, address))
        })
    })
  })
  yield* board.add(
    Effect.sync(() => [{ name: "sockets", value: places.taken, text: `${places.taken} sockets` }])
  )
})

const announce = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  if (address._tag !== "TcpAddress") return
  const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname
  yield* Effect.logInfo(`WebSocket: ws://${host}:${address.port}${path}?session_id=... takes session events`)
})

/**
 * The role `ingest`: takes events of sessions over WebSockets, and acknowledges what is saved. What it saves has a
 * taker from the start, so that it waits in the outbox if no relay brings it to Kafka yet.
 */
export const layer: Layer.Layer<never, RoleError, Requirements> = Layer.scopedDiscard(
  Effect.gen(function* () {
    yield* KafkaSinks.registerSessions
    yield* MongoCheck.add
    yield* takeSockets
    yield* announce
  })
).pipe(
  Layer.provide(SessionAnswers.layer),
  Layer.provide(SessionWrites.layer),
  Layer.provide(OpenAccess.listener)
)
