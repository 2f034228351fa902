import type { NoMessage } from "./SessionMessage.ts"

/**
 * Why a message was not taken:
 * - `not_text`: it came as a binary frame.
 * - `invalid_json`, `invalid_message`: it is no message; the same again would not be, either.
 * - `failed`: the program has a fault, or the database refuses it; the log has more under the id of the request.
 * - `unavailable`: it could not be saved just now, or it is not known whether it was; send it again. The socket is
 *   closed, so that nothing that follows goes before it.
 * - `rate_limited`: too many came. The socket is closed; send again, more slowly, what was not acknowledged.
 */
export type ErrorCode = "not_text" | NoMessage["code"] | "failed" | "unavailable" | "rate_limited"

/** The message is saved, now or the first time that it came. */
export interface Ack {
  readonly type: "ack"
  readonly messageId: string
  readonly requestId: string
}

export interface Failure {
  readonly type: "error"
  readonly code: ErrorCode
  /** Fixed words, never a value. */
  readonly message: string
  /** Null where it could not be read. */
  readonly messageId: string | null
}

export type SessionReply = Ack | Failure

/** How a socket is closed: https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number */
export interface Closing {
  readonly code: 1001 | 1008 | 1013
  readonly reason: string
}

/** What is said to a message. */
export interface Answer {
  readonly reply: SessionReply
  /** Given: the socket ends with it. */
  readonly closing?: Closing
}

const failure = (code: ErrorCode, message: string, messageId: string | null = null): Failure => ({
  type: "error",
  code,
  message,
  messageId
})

export const notText: Answer = { reply: failure("not_text", "Messages are text frames.") }

export const noMessage = ({ code, message, messageId }: NoMessage): Answer => ({
  reply: failure(code, message, messageId)
})

export const failed = (messageId: string): Answer => ({
  reply: failure("failed", "It cannot be saved; sending it again does not help.", messageId)
})

export const unavailable = (messageId: string): Answer => ({
  reply: failure("unavailable", "It could not be saved just now: connect and send it again.", messageId),
  closing: { code: 1013, reason: "try again later" }
})

export const rateLimited = {
  reply: failure("rate_limited", "Too many messages came: connect again, and send more slowly."),
  closing: { code: 1008, reason: "too many messages" }
} as const satisfies Answer

export const goingAway: Closing = { code: 1001, reason: "the server is stopping" }
