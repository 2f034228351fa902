import { Effect, Option, type Tracer } from "effect"
import type { Message } from "./Message.ts"
import * as TraceContext from "./TraceContext.ts"

/** Traces that a span is linked to, at most. */
const maxLinks = 32

/** The traces in which these messages were saved. */
const linksOf = (messages: ReadonlyArray<Message>): ReadonlyArray<Tracer.SpanLink> => {
  const links: Array<Tracer.SpanLink> = []
  for (const { headers, id } of messages) {
    if (links.length === maxLinks) break
    const traceparent = headers[TraceContext.header]
    if (traceparent === undefined) continue
    const span = TraceContext.fromTraceparent(traceparent)
    if (Option.isSome(span)) links.push({ _tag: "SpanLink", span: span.value, attributes: { messageId: id } })
  }
  return links
}

/** One call of a sink. A batch belongs to the traces of all its messages, so it is linked to them and inside none. */
export const deliver =
  (sink: string, messages: ReadonlyArray<Message>) =>
  <A, E, R>(call: Effect.Effect<A, E, R>) =>
    Effect.withSpan(call, "twinbox.relay.deliver", {
      root: true,
      kind: "producer",
      links: linksOf(messages),
      attributes: { "twinbox.sink": sink, "messaging.batch.message_count": messages.length },
      captureStackTrace: false
    })

/** Writing down what sinks owe. */
export const settle = (sink: string | undefined, messages: number) =>
  Effect.withSpan("twinbox.relay.settle", {
    root: true,
    attributes: {
      "messaging.batch.message_count": messages,
      ...(sink === undefined ? {} : { "twinbox.sink": sink })
    },
    captureStackTrace: false
  })

/** Giving slots to another relay. */
export const giveBack = (slots: number) =>
  Effect.withSpan("twinbox.relay.give_back", {
    root: true,
    attributes: { "twinbox.slots": slots },
    captureStackTrace: false
  })
