import { Array as Arr, Cause, Effect, Metric, Option } from "effect"
import type { CallWatch } from "./CallWatch.ts"
import type { Delivery } from "./Delivery.ts"
import type { OrderKey } from "./LaneOrder.ts"
import type { Message } from "./Message.ts"
import type { OutboxError } from "./OutboxError.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import * as RelaySpans from "./RelaySpans.ts"
import { type Rejection, type Sink, SinkError } from "./Sink.ts"
import * as SuspectBatch from "./SuspectBatch.ts"

/** What became of a batch. */
export interface Sent {
  /** Deliveries that the sink has answered for, in order; those not refused are confirmed. */
  readonly answered: ReadonlyArray<Delivery>
  readonly rejections: ReadonlyArray<Rejection>
  /** Deliveries whose slots have gone meanwhile; they were not sent. */
  readonly gone: ReadonlyArray<Delivery>
  /** Deliveries that it has not answered for, in order. */
  readonly left: ReadonlyArray<Delivery>
  /** Why it has not. */
  readonly error: SinkError | undefined
}

export interface Options {
  readonly sink: Sink
  readonly batchSize: number
  readonly orderKey: OrderKey
  readonly watch: CallWatch
  /** Whether a slot is still the relay's. */
  readonly owns: (slot: number) => boolean
  /** Whether a slot is suspect. */
  readonly isSuspect: (slot: number) => boolean
  /** Sets the marks of messages of suspect slots, durably. */
  readonly mark: (messages: ReadonlyArray<Message>, to: number) => Effect.Effect<void, OutboxError>
  /** One at a time in the whole relay: calls with messages that a process has died around. Its death is to tell which it was. */
  readonly alone: Effect.Semaphore
  /** Waits until calls may be made at all: while the relay does not know that its lease holds, none may. */
  readonly permitted: Effect.Effect<void>
}

export type SinkCalls = (batch: ReadonlyArray<Delivery>) => Effect.Effect<Sent, OutboxError>

const failed = (sink: Sink, cause: unknown) =>
  Effect.fail(new SinkError({ sink: sink.name, reason: "Failed", cause }))

/**
 * One call of the sink. A defect in its code, or an interruption that comes from there, counts as a failed
 * batch: the relay and the other sinks live on.
 */
const call = (sink: Sink, batch: ReadonlyArray<Message>) =>
  Effect.suspend(() => sink.deliver(batch)).pipe(
    Effect.catchAllCause((cause) =>
      Option.match(Cause.failureOption(cause), { onNone: () => failed(sink, cause), onSome: Effect.fail })
    ),
    RelaySpans.deliver(sink.name, batch)
  )

export const blamed = (message: Message, error: SinkError): Rejection => ({
  messageId: message.id,
  reason: error.reason,
  error: error.message,
  retryable: true
})

const killer = (message: Message, marks: number): Rejection => ({
  messageId: message.id,
  reason: "KilledRelay",
  error: `the relay's process died ${marks} times while this message was on its way to the sink`,
  retryable: false
})

/** Cuts a batch into pieces of `size` at most, the first piece last. */
const piecesOf = (batch: ReadonlyArray<Delivery>, size: number): Array<ReadonlyArray<Delivery>> => {
  const pieces: Array<ReadonlyArray<Delivery>> = []
  for (let at = 0; at < batch.length; at += size) pieces.push(batch.slice(at, at + size))
  return pieces.toReversed()
}

/**
 * Calls a sink, `batchSize` messages in one call at most. A call that fails as a whole is halved until single messages
 * can be blamed; when the sink is away, the rest is left. What follows a refused message of its key is not sent.
 */
export const make = (options: Options): SinkCalls => {
  const { batchSize, orderKey, sink, watch } = options
  const retried = Metric.tagged(OutboxMetrics.retried, "sink", sink.name)

  /** Not made when slots have gone while it waited for its turn. */
  const callOnce = (batch: ReadonlyArray<Message>) =>
    Effect.zipRight(
      options.permitted,
      Effect.suspend(() =>
        batch.every(({ slot }) => options.owns(slot))
          ? Effect.either(watch.timed(call(sink, batch)))
          : Effect.succeed(undefined)
      )
    )

  const marksOf = ({ marks }: Delivery) => marks[sink.name] ?? 0

  /** Sets marks to so many more than they were read with. */
  const mark = (suspects: ReadonlyArray<Delivery>, more: number) =>
    Effect.forEach(
      Object.values(Arr.groupBy(suspects, (delivery) => String(marksOf(delivery)))),
      (same) =>
        options.mark(
          same.map(({ message }) => message),
          marksOf(same[0]) + more
        ),
      { discard: true }
    )

  /** Marks what comes out of suspect slots for the time of the call. */
  const callMarked = (batch: ReadonlyArray<Delivery>) => {
    const messages = batch.map(({ message }) => message)
    const suspects = batch.filter(({ message }) => options.isSuspect(message.slot))
    if (suspects.length === 0) return callOnce(messages)
    const marked = Effect.zipRight(
      mark(suspects, 1),
      // Whatever the call ends with, an interruption too: the process lives.
      Effect.ensuring(callOnce(messages), Effect.ignore(mark(suspects, 0)))
    )
    return batch.some((delivery) => marksOf(delivery) > 0) ? options.alone.withPermits(1)(marked) : marked
  }

  /** What may be sent together with the first of a piece, that one in any case. */
  const allowed = (piece: ReadonlyArray<Delivery>) =>
    piece.some(({ message }) => options.isSuspect(message.slot))
      ? SuspectBatch.prefixLength(piece, sink.name, batchSize)
      : piece.length

  const isDeadly = (delivery: Delivery) => SuspectBatch.isDeadly(marksOf(delivery), batchSize)

  /** What of a piece may be sent now: not what follows a refused message of its key, nor what has gone. */
  const sort = (piece: ReadonlyArray<Delivery>, stopped: ReadonlySet<string>) => {
    const parts = {
      sendable: [] as Array<Delivery>,
      followers: [] as Array<Delivery>,
      lost: [] as Array<Delivery>
    }
    for (const delivery of piece) {
      if (!options.owns(delivery.message.slot)) parts.lost.push(delivery)
      else if (stopped.size > 0 && stopped.has(orderKey(delivery.message))) parts.followers.push(delivery)
      else parts.sendable.push(delivery)
    }
    return parts
  }

  return (batch) =>
    Effect.gen(function* () {
      const answered: Array<Delivery> = []
      const gone: Array<Delivery> = []
      const rejections: Array<Rejection> = []
      const stopped = new Set<string>()
      const pieces = piecesOf(batch, batchSize)
      const reject = (refused: ReadonlyArray<Rejection>, piece: ReadonlyArray<Delivery>) => {
        if (refused.length === 0) return
        rejections.push(...refused)
        const ids = new Set(refused.map((rejection) => rejection.messageId))
        for (const { message } of piece) if (ids.has(message.id)) stopped.add(orderKey(message))
      }
      for (let piece = pieces.pop(); piece !== undefined; piece = pieces.pop()) {
        const { followers, lost, sendable } = sort(piece, stopped)
        answered.push(...followers)
        gone.push(...lost)
        const [first] = sendable
        if (first === undefined) continue
        const length = allowed(sendable)
        if (length < sendable.length) {
          pieces.push(sendable.slice(length), sendable.slice(0, length))
          continue
        }
        if (sendable.length === 1 && isDeadly(first)) {
          reject([killer(first.message, marksOf(first))], sendable)
          answered.push(first)
          continue
        }
        const result = yield* callMarked(sendable)
        if (result === undefined) pieces.push(sendable)
        else if (result._tag === "Right") {
          reject(result.right, sendable)
          answered.push(...sendable)
        } else if (result.left.reason !== "Failed") {
          return {
            answered,
            rejections,
            gone,
            left: [...sendable, ...pieces.toReversed().flat()],
            error: result.left
          }
        } else if (sendable.length === 1) {
          reject([blamed(first.message, result.left)], sendable)
          answered.push(first)
        } else {
          const half = Math.ceil(sendable.length / 2)
          pieces.push(sendable.slice(half), sendable.slice(0, half))
          yield* Metric.incrementBy(retried, sendable.length)
        }
      }
      return { answered, rejections, gone, left: [], error: undefined }
    })
}
