import { openSession, type SessionClient, trackMessage } from "./sessionClient.ts"

/*
 * Clients as they should be: each sends its messages in order, and after a break it sends again, in order, whatever was
 * not acknowledged.
 */

export interface Options {
  /** `ws://host:port` */
  readonly base: string
  readonly sessions: number
  readonly messagesEach: number
  /** Messages of a session that may be without their acknowledgement. */
  readonly window: number
}

const pauseMillis = 300

export const sessionIdOf = (at: number): string => `session-${at}`
export const messageIdOf = (at: number): string => `m${at}`

const pause = () => new Promise((resolve) => setTimeout(resolve, pauseMillis))

export class SessionTraffic {
  readonly #options: Options
  /** Errors that were told, by their code; how often sockets broke. */
  readonly errors = new Map<string, number>()
  breaks = 0
  #acknowledged = 0

  constructor(options: Options) {
    this.#options = options
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Runs until every message of every session is acknowledged. */
  async run(): Promise<void> {
    await Promise.all(
      Array.from({ length: this.#options.sessions }, (_, at) => this.#session(sessionIdOf(at)))
    )
  }

  async #session(sessionId: string): Promise<void> {
    let next = 0
    while (next < this.#options.messagesEach) {
      const client = await openSession(this.#options.base, sessionId).catch(() => undefined)
      if (client !== undefined) next = await this.#send(client, next)
      if (next === this.#options.messagesEach) return client?.close()
      this.breaks += 1
      await pause()
    }
  }

  /** Sends from a message on until all are acknowledged or the socket breaks; tells which one is next. */
  async #send(client: SessionClient, from: number): Promise<number> {
    const { messagesEach, window } = this.#options
    let acknowledged = from
    let sent = from
    for (let seen = 0; acknowledged < messagesEach;) {
      while (client.isOpen && sent < messagesEach && sent < acknowledged + window) {
        client.send(trackMessage(messageIdOf(sent), { position: sent }))
        sent += 1
      }
      const replies = await client.received(seen + 1)
      if (replies.length === seen) return acknowledged
      for (const reply of replies.slice(seen)) {
        if (reply.type === "error") {
          this.errors.set(reply.code ?? "", (this.errors.get(reply.code ?? "") ?? 0) + 1)
          continue
        }
        if (reply.messageId !== messageIdOf(acknowledged)) {
          throw new Error(`acknowledged ${reply.messageId} in the place of ${messageIdOf(acknowledged)}`)
        }
        acknowledged += 1
        this.#acknowledged += 1
      }
      seen = replies.length
    }
    return acknowledged
  }
}
