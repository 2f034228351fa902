/** What the server says to a message. */
export interface Reply {
  readonly type: "ack" | "error"
  readonly messageId: string | null
  readonly requestId?: string
  readonly code?: string
  readonly message?: string
}

export interface Close {
  readonly code: number
  readonly reason: string
}

/** A WebSocket of a session, with all that came over it. */
export class SessionClient {
  readonly opened: Promise<void>
  readonly closed: Promise<Close>
  readonly replies: Array<Reply> = []
  readonly #socket: WebSocket
  #wake: () => void = () => undefined

  constructor(url: string, protocols: ReadonlyArray<string> = []) {
    this.#socket = new WebSocket(url, [...protocols])
    this.opened = new Promise((resolve, reject) => {
      this.#socket.addEventListener("open", () => resolve())
      this.#socket.addEventListener("error", () => reject(new Error("the WebSocket was refused or cut")))
    })
    // Who waits for the end need not mind how it began.
    this.opened.catch(() => undefined)
    this.closed = new Promise((resolve) => {
      this.#socket.addEventListener("close", ({ code, reason }) => {
        resolve({ code, reason })
        this.#wake()
      })
    })
    this.#socket.addEventListener("message", ({ data }) => {
      this.replies.push(JSON.parse(String(data)) as Reply)
      this.#wake()
    })
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  /** Texts and bytes as they are, all else as JSON. */
  send(data: unknown): void {
    this.#socket.send(typeof data === "string" || data instanceof Uint8Array ? data : JSON.stringify(data))
  }

  close(): void {
    this.#socket.close()
  }

  /** Waits until so many replies have come in all, or the socket is closed. */
  async received(count: number): Promise<ReadonlyArray<Reply>> {
    while (this.replies.length < count && this.#socket.readyState <= WebSocket.OPEN) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.replies
  }
}

/** Opens a session's WebSocket, or fails. */
export const openSession = async (base: string, sessionId: string, protocols?: ReadonlyArray<string>) => {
  const client = new SessionClient(`${base}/websocket?session_id=${sessionId}`, protocols)
  await client.opened
  return client
}

/** An event of a session. */
export const trackMessage = (messageId: string, properties: Readonly<Record<string, unknown>> = {}) => ({
  type: "track",
  messageId,
  timestamp: "2026-05-01T12:00:00Z",
  event: "Product Viewed",
  properties
})
