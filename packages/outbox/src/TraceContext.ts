import { Context, Effect, Option, Tracer } from "effect"
import type { Headers } from "./Message.ts"

/*
 * The trace that a message belongs to, as the header `traceparent` carries it.
 * Format: https://www.w3.org/TR/trace-context/#traceparent-header
 */

/** Name of the header. */
export const header = "traceparent"

const versionZero = "00"
const versionPattern = "(?!ff)[0-9a-f]{2}"
const traceIdPattern = "(?!0{32})[0-9a-f]{32}"
const spanIdPattern = "(?!0{16})[0-9a-f]{16}"
const pattern = new RegExp(`^(${versionPattern})-(${traceIdPattern})-(${spanIdPattern})-([0-9a-f]{2})(-.*)?$`)

const sampledFlag = 1

/**
 * Reads a `traceparent`; none when it is malformed. A version to come may have more parts: they are left out, as
 * the specification wants it.
 */
export const fromTraceparent = (text: string): Option.Option<Tracer.ExternalSpan> => {
  const [, version, traceId, spanId, flags, rest] = pattern.exec(text) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return Option.none()
  if (version === versionZero && rest !== undefined) return Option.none()
  const sampled = (Number.parseInt(flags, 16) & sampledFlag) === sampledFlag
  return Option.some(Tracer.externalSpan({ traceId, spanId, sampled }))
}

/** Writes a span as `traceparent`; none when its ids are of another form, as those of a tracer that is off. */
export const toTraceparent = ({
  sampled,
  spanId,
  traceId
}: Pick<Tracer.AnySpan, "traceId" | "spanId" | "sampled">): Option.Option<string> => {
  const text = `${versionZero}-${traceId}-${spanId}-${sampled ? "01" : "00"}`
  return Option.map(fromTraceparent(text), () => text)
}

/** The span or the nearest around it that may be passed on. */
const propagating = (span: Tracer.AnySpan): Option.Option<Tracer.AnySpan> => {
  if (!Context.get(span.context, Tracer.DisablePropagation)) return Option.some(span)
  return span._tag === "Span" ? Option.flatMap(span.parent, propagating) : Option.none()
}

/** The `traceparent` of the span that the fiber is in. */
export const current: Effect.Effect<Option.Option<string>> = Effect.contextWith(
  (context: Context.Context<never>) =>
    Context.getOption(context, Tracer.ParentSpan).pipe(
      Option.flatMap(propagating),
      Option.flatMap(toTraceparent)
    )
)

const hasTrace = (headers: Headers): boolean =>
  Object.keys(headers).some((name) => name.toLowerCase() === header)

/** Adds a `traceparent` to headers that have none, in whatever case. */
export const addTo = (headers: Headers, traceparent: string): Headers =>
  hasTrace(headers) ? headers : { ...headers, [header]: traceparent }

/** Runs an effect as if it were in no span: for fibers that work for many. */
export const detached = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(
    effect,
    (context: Context.Context<R>) => Context.omit(Tracer.ParentSpan)(context as never) as Context.Context<R>
  )
