import { createServer } from "node:http"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Layer, Scope } from "effect"
import * as HttpListener from "../src/HttpListener.ts"
import { Settings } from "../src/Settings.ts"
import { exchange, get, openConnection } from "./httpClient.ts"

const settings = (host: string, port: number) =>
  Layer.succeed(Settings, { http: { host, port } } as Context.Tag.Service<Settings>)

/** A server until the scope ends, and its port. */
const listen = (host = "127.0.0.1", port = 0) =>
  Effect.gen(function* () {
    const layer = HttpListener.layer.pipe(Layer.provide(settings(host, port)))
    const context = yield* Layer.build(layer)
    const server = Context.get(context, HttpServer.HttpServer)
    const upgrades = Context.get(context, HttpListener.HttpUpgrades)
    const { address } = server
    return { server, upgrades, port: address._tag === "TcpAddress" ? address.port : 0 }
  })

const upgrade = "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
const websocket = `${upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`

/** Long enough for a slow machine, and much shorter than a server that waits for its clients. */
const promptly = Duration.seconds(5)

describe("The listener", () => {
  it.scopedLive("answers 503 before and after those who answer are there", () =>
    Effect.gen(function* () {
      const { port, server } = yield* listen()
      const ask = get(`http://127.0.0.1:${port}/`)
      const before = yield* ask
      expect([before.status, before.contentType]).toEqual([503, "application/problem+json"])
      const serving = yield* Scope.make()
      yield* HttpServer.serveEffect(HttpServerResponse.text("here")).pipe(
        Effect.provideService(HttpServer.HttpServer, server),
        Scope.extend(serving)
      )
      expect((yield* ask).text).toBe("here")
      yield* Scope.close(serving, Exit.void)
      expect((yield* ask).status).toBe(503)
    })
  )

  it.scopedLive("stops soon, whatever its connections are doing", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port, server, upgrades } = yield* Scope.extend(listen(), scope)
      const upgraded = yield* Deferred.make<void>()
      yield* HttpServer.serveEffect(Effect.never).pipe(
        Effect.provideService(HttpServer.HttpServer, server),
        Scope.extend(scope)
      )
      yield* upgrades
        .take("/socket", (_request, socket) => {
          socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
          )
          Deferred.unsafeDone(upgraded, Effect.void)
        })
        .pipe(Scope.extend(scope))

      const idle = "" // Connected, and silent.
      const hanging = "GET /hanging HTTP/1.1\r\nHost: x\r\n\r\n"
      const half = "POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
      const texts = [idle, hanging, half, websocket]
      const sockets = yield* Effect.forEach(texts, (text) => openConnection(port, text))
      yield* Deferred.await(upgraded)
      yield* Effect.timeout(Scope.close(scope, Exit.void), promptly)
      for (const socket of sockets) {
        if (!socket.closed) yield* Effect.promise(() => once(socket.resume(), "close"))
      }
    })
  )

  it.scopedLive("answers upgrades that nobody takes as ordinary requests", () =>
    Effect.gen(function* () {
      const { port, server, upgrades } = yield* listen()
      yield* HttpServer.serveEffect(
        Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => HttpServerResponse.text(`plain ${url}`))
      ).pipe(Effect.provideService(HttpServer.HttpServer, server))
      yield* upgrades.take("/socket", (_request, socket) => socket.end("taken"))
      const h2c = "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
      expect(yield* exchange(port, `GET /customer HTTP/1.1\r\nHost: x\r\n${h2c}\r\n\r\n`)).toContain(
        "plain /customer"
      )
      expect(yield* exchange(port, `${websocket.replace("/socket", "/socket?a=1")}`)).toBe("taken")
    })
  )

  it.scopedLive("finishes an answer that is on its way", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port, server } = yield* Scope.extend(listen(), scope)
      const asked = yield* Deferred.make<void>()
      yield* HttpServer.serveEffect(
        Deferred.succeed(asked, undefined).pipe(
          Effect.zipRight(Effect.sleep("50 millis")),
          Effect.as(HttpServerResponse.text("done"))
        )
      ).pipe(Effect.provideService(HttpServer.HttpServer, server), Scope.extend(scope))
      const answer = yield* Effect.fork(get(`http://127.0.0.1:${port}/`))
      yield* Deferred.await(asked)
      yield* Scope.close(scope, Exit.void)
      expect(yield* answer).toMatchObject({ status: 200, text: "done" })
    })
  )

  it.scopedLive("says what to do when the port is taken", () =>
    Effect.gen(function* () {
      const other = createServer()
      yield* Effect.acquireRelease(
        Effect.promise(() => once(other.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => other.close())
      )
      const { port } = other.address() as AddressInfo
      const error = yield* Effect.flip(listen("127.0.0.1", port))
      expect(error.message).toBe(
        `Port ${port} of 127.0.0.1 is taken: end the program that listens there, or choose another port with PORT (0 takes a free one).`
      )
    })
  )
})
