import { Backoff } from "@twinbox/outbox"
import { Cause, Clock, Context, Data, Duration, Effect, Either, Layer, Metric, Option } from "effect"
import * as Correlation from "./Correlation.ts"
import * as IngestMetrics from "./IngestMetrics.ts"
import * as LeftBehind from "./LeftBehind.ts"
import * as RequestId from "./RequestId.ts"
import { type SessionMessage, decode } from "./SessionMessage.ts"
import * as SessionReply from "./SessionReply.ts"
import { SessionWrites } from "./SessionWrites.ts"

/** A frame as it came. */
export interface Frame {
  readonly data: Buffer
  readonly isBinary: boolean
}

/** Answers the messages of sessions. */
export class SessionAnswers extends Context.Tag("@twinbox/reference-app/SessionAnswers")<
  SessionAnswers,
  {
    /** Saves what a frame says, and tells what became of it. Frames of one session come one after another. */
    readonly answer: (sessionId: string, frame: Frame) => Effect.Effect<SessionReply.Answer>
  }
>() {}

/** How long a message is tried. What follows it of its session waits meanwhile. */
const tryFor = Duration.seconds(5)

/** By then it was not known to be saved; it may still be. */
class TakesTooLong extends Data.TaggedError("TakesTooLong")<{}> {
  readonly retryable = true
  override readonly message = "MongoDB takes too long"
}

/** A commit of unknown outcome may be tried again, too: a message is saved once. */
const mayHelp = (error: { readonly _tag: string; readonly retryable?: boolean }): boolean =>
  error.retryable === true || error._tag === "CommitUnknown"

const outcomeOf = ({ reply }: SessionReply.Answer, known: "Saved" | "Duplicate"): string =>
  reply.type === "ack" ? known.toLowerCase() : reply.code

interface Answered {
  readonly answer: SessionReply.Answer
  readonly outcome: string
  readonly type?: SessionMessage["type"]
}

const refused = (answer: SessionReply.Answer): Answered => ({ answer, outcome: outcomeOf(answer, "Saved") })

const make = Effect.gen(function* () {
  const writes = yield* SessionWrites
  const leftBehind = yield* LeftBehind.make(tryFor)

  const saved = (message: SessionMessage, sessionId: string, requestId: string) =>
    writes.save(message, { sessionId, requestId }).pipe(
      Effect.tapError((error) =>
        mayHelp(error) ? Effect.logDebug(`a message is tried again: ${error.message}`) : Effect.void
      ),
      Effect.retry({ while: mayHelp, schedule: Backoff.between("50 millis", "1 second") }),
      // A driver that waits is not to be interrupted. To save the same again does no harm.
      leftBehind.run,
      Effect.timeoutFail({ duration: tryFor, onTimeout: () => new TakesTooLong() }),
      Effect.matchCauseEffect({
        onSuccess: (outcome) => {
          const { messageId } = message
          const answer: SessionReply.Answer = { reply: { type: "ack", messageId, requestId } }
          return Effect.succeed({ answer, outcome: outcomeOf(answer, outcome), type: message.type })
        },
        onFailure: (cause) => {
          const error = Option.getOrUndefined(Cause.failureOption(cause))
          const isTemporary = error !== undefined && mayHelp(error)
          const answer = isTemporary
            ? SessionReply.unavailable(message.messageId)
            : SessionReply.failed(message.messageId)
          const line = `a message of a session was not saved: ${error?.message ?? "the program has a fault"}`
          return Effect.as(isTemporary ? Effect.logWarning(line) : Effect.logError(line), refused(answer))
        }
      })
    )

  const answerFrame = ({ data, isBinary }: Frame, sessionId: string, requestId: string) =>
    Effect.suspend((): Effect.Effect<Answered> => {
      if (isBinary) return Effect.succeed(refused(SessionReply.notText))
      return Either.match(decode(data.toString("utf8")), {
        onLeft: (problem) => Effect.succeed(refused(SessionReply.noMessage(problem))),
        onRight: (message) => saved(message, sessionId, requestId)
      })
    })

  return SessionAnswers.of({
    answer: (sessionId, frame) =>
      Effect.gen(function* () {
        const requestId = RequestId.of(undefined)
        const begun = yield* Clock.currentTimeMillis
        return yield* answerFrame(frame, sessionId, requestId).pipe(
          Effect.tap(({ outcome, type = "none" }) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) =>
              Effect.annotateLogs(Effect.logInfo("message answered"), { type, outcome, ms: now - begun })
            )
          ),
          Effect.tap(({ outcome }) =>
            Metric.increment(Metric.tagged(IngestMetrics.messages, "outcome", outcome))
          ),
          Effect.map(({ answer }) => answer),
          // Each message is a trace of its own: a socket can be open for days.
          Effect.withSpan("websocket message", { root: true, kind: "server", captureStackTrace: false }),
          Effect.annotateLogs({ [Correlation.sessionId]: sessionId, [Correlation.requestId]: requestId })
        )
      })
  })
})

export const layer: Layer.Layer<SessionAnswers, never, SessionWrites> = Layer.scoped(SessionAnswers, make)
