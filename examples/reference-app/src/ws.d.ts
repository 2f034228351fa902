/*
 * The part of `ws` that is used here; the package brings no types.
 *
 * Source: https://github.com/websockets/ws/blob/8.23.0/doc/ws.md
 */
declare module "ws" {
  import type { EventEmitter } from "node:events"
  import type { IncomingMessage } from "node:http"
  import type { Duplex } from "node:stream"

  export interface ServerOptions {
    readonly noServer: true
    /** Bytes of a message, at most; a larger one closes the socket with 1009. */
    readonly maxPayload: number
    readonly clientTracking: boolean
    /** Milliseconds until a socket is cut whose close frame is not answered. */
    readonly closeTimeout: number
    readonly handleProtocols: (protocols: ReadonlySet<string>) => string | false
  }

  interface Events {
    readonly message: [data: Buffer, isBinary: boolean]
    readonly ping: [data: Buffer]
    readonly pong: [data: Buffer]
    readonly close: [code: number, reason: Buffer]
    readonly error: [error: Error]
  }

  export class WebSocket extends EventEmitter<Events> {
    /** Bytes that were sent and that the system has not taken yet. */
    readonly bufferedAmount: number
    readonly isPaused: boolean
    readonly readyState: number
    static readonly OPEN: 1
    send(data: string): void
    ping(): void
    close(code: number, reason: string): void
    /** Ends the connection at once. */
    terminate(): void
    /** Stops reading from the connection. */
    pause(): void
    resume(): void
  }

  export class WebSocketServer extends EventEmitter<{
    wsClientError: [error: Error, socket: Duplex, request: IncomingMessage]
  }> {
    constructor(options: ServerOptions)
    handleUpgrade(
      request: IncomingMessage,
      socket: Duplex,
      head: Buffer,
      opened: (webSocket: WebSocket) => void
    ): void
  }
}
