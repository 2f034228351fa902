import { MessageHeaders } from "@twinbox/outbox"
import { Effect } from "effect"

/*
 * What belongs together has the same ids: those of the session and of the request, under these names on log lines and
 * in the headers of messages, from where they come first to whoever applies the messages.
 */

export const sessionId = "session_id"
export const requestId = "request_id"

export interface Ids {
  readonly [sessionId]?: string
  readonly [requestId]?: string
}

/** Puts the ids on all log lines of an effect, and on all messages that it appends. */
export const within =
  (ids: Ids) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    effect.pipe(MessageHeaders.locally({ ...ids }), Effect.annotateLogs({ ...ids }))
