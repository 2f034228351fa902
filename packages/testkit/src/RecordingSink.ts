import { Sink, type Message, type Topic } from "@twinbox/outbox"
import { Duration, Effect } from "effect"

/** What one call of the sink does instead of its work. */
export type Fault =
  /** Fails before anything is applied. */
  | { readonly _tag: "Fail"; readonly reason: Sink.SinkErrorReason; readonly retryAfterMillis?: number }
  /** Applies the batch, then fails all the same, as if the reply was lost. */
  | { readonly _tag: "LoseReply"; readonly reason: Sink.SinkErrorReason }
  | { readonly _tag: "Die"; readonly defect: unknown }
  /** Interrupts itself. */
  | { readonly _tag: "Interrupt" }
  /** Never answers. */
  | { readonly _tag: "Hang" }

export const fail = (reason: Sink.SinkErrorReason = "Unavailable"): Fault => ({ _tag: "Fail", reason })
export const loseReply = (reason: Sink.SinkErrorReason = "Unavailable"): Fault => ({
  _tag: "LoseReply",
  reason
})
export const die = (defect: unknown = new Error("a defect in the sink")): Fault => ({ _tag: "Die", defect })
export const interrupt: Fault = { _tag: "Interrupt" }
export const hang: Fault = { _tag: "Hang" }

type Refuses = (
  message: Message.Message
) => Pick<Sink.Rejection, "reason" | "error" | "retryable"> | undefined

/** A sink in memory that keeps all it was given and fails as it is told. */
export interface RecordingSink<out V extends Topic.View = Topic.View> {
  readonly sink: Sink.Sink<V>
  /** What arrived, in order; repeated when it arrived again. */
  readonly received: () => ReadonlyArray<Message.Message>
  /** Every call, also those that failed. */
  readonly calls: () => ReadonlyArray<ReadonlyArray<Message.Message>>
  /** The newest message of a key: what a mirror would show. */
  readonly newest: (key: string) => Message.Message | undefined
  /** The next `times` calls have this fault. */
  readonly failNext: (fault: Fault, times?: number) => Effect.Effect<void>
  /** Every call has this fault, until `mend`. */
  readonly breakWith: (fault: Fault) => Effect.Effect<void>
  readonly mend: Effect.Effect<void>
  /** Every call whose batch holds such a message dies with a defect. Given nothing: no more. */
  readonly dieOn: (poisons?: (message: Message.Message) => boolean) => Effect.Effect<void>
  /** Refuses messages, and leaves out what follows of their key in the batch. Given nothing: no more. */
  readonly refuse: (refuses?: Refuses) => Effect.Effect<void>
  /** Takes this long for each call. */
  readonly slow: (duration: Duration.DurationInput) => Effect.Effect<void>
}

const isNewer = (a: Message.Message, b: Message.Message): boolean =>
  a.sequence > b.sequence || (a.sequence === b.sequence && a.ordinal > b.ordinal)

/** Makes a sink that has received nothing and does as it should. */
export const make = <V extends Topic.View>(options: {
  /** Default `recording`. */
  readonly name?: string
  readonly topics: ReadonlyArray<Topic.Any<V>>
}): RecordingSink<V> => {
  const name = options.name ?? "recording"
  const received: Array<Message.Message> = []
  const calls: Array<ReadonlyArray<Message.Message>> = []
  const newest = new Map<string, Message.Message>()
  const next: Array<Fault> = []
  let standing: Fault | undefined
  let poisons: (message: Message.Message) => boolean = () => false
  let refuses: Refuses = () => undefined
  let delay = Duration.zero

  const keep = (message: Message.Message) => {
    received.push(message)
    const before = newest.get(message.key)
    if (before === undefined || isNewer(message, before)) newest.set(message.key, message)
  }

  const apply = (batch: ReadonlyArray<Message.Message>): ReadonlyArray<Sink.Rejection> => {
    const rejections: Array<Sink.Rejection> = []
    const stopped = new Set<string>()
    for (const message of batch) {
      if (stopped.has(message.key)) continue
      const refusal = refuses(message)
      if (refusal === undefined) keep(message)
      else {
        stopped.add(message.key)
        rejections.push({ messageId: message.id, ...refusal })
      }
    }
    return rejections
  }

  const error = (reason: Sink.SinkErrorReason, retryAfterMillis?: number) =>
    Effect.fail(
      new Sink.SinkError({
        sink: name,
        reason,
        cause: "injected",
        ...(retryAfterMillis === undefined ? {} : { retryAfterMillis })
      })
    )

  const suffer = (fault: Fault, batch: ReadonlyArray<Message.Message>) => {
    switch (fault._tag) {
      case "Fail":
        return error(fault.reason, fault.retryAfterMillis)
      case "LoseReply":
        apply(batch)
        return error(fault.reason)
      case "Die":
        return Effect.die(fault.defect)
      case "Interrupt":
        return Effect.interrupt
      case "Hang":
        return Effect.never
    }
  }

  const answer = (batch: ReadonlyArray<Message.Message>) =>
    Effect.suspend((): Effect.Effect<ReadonlyArray<Sink.Rejection>, Sink.SinkError> => {
      const fault = next.shift() ?? standing
      if (fault !== undefined) return suffer(fault, batch)
      if (batch.some(poisons)) return Effect.dieMessage("a poisonous message")
      return Effect.succeed(apply(batch))
    })

  const deliver = (batch: ReadonlyArray<Message.Message>) =>
    Effect.suspend(() => {
      calls.push(batch)
      return Duration.toMillis(delay) === 0 ? answer(batch) : Effect.delay(answer(batch), delay)
    })

  return {
    sink: { name, topics: options.topics, deliver },
    received: () => received,
    calls: () => calls,
    newest: (key) => newest.get(key),
    failNext: (fault, times = 1) =>
      Effect.sync(() => void next.push(...Array.from({ length: times }, () => fault))),
    breakWith: (fault) => Effect.sync(() => void (standing = fault)),
    mend: Effect.sync(() => {
      standing = undefined
      next.length = 0
    }),
    dieOn: (given = () => false) => Effect.sync(() => void (poisons = given)),
    refuse: (given = () => undefined) => Effect.sync(() => void (refuses = given)),
    slow: (duration) => Effect.sync(() => void (delay = Duration.decode(duration)))
  }
}
