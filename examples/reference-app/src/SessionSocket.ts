import { Deferred, type Duration, Effect, Queue } from "effect"
import { WebSocket } from "ws"
import type { Frame } from "./SessionAnswers.ts"
import * as SessionReply from "./SessionReply.ts"

export interface Options {
  /** Whether one more message or ping may come now. */
  readonly admit: () => boolean
  /** Answers one message. */
  readonly answer: (frame: Frame) => Effect.Effect<SessionReply.Answer>
  /** Waits until nothing more is to be taken. */
  readonly stop: Effect.Effect<void>
  /** From one ping to the next. */
  readonly pingEvery: Duration.DurationInput
}

/** Why a socket is no more. */
export type End =
  "closed by the client" | "going away" | "rate limited" | "unavailable" | "silent" | "slow reader"

/** Nothing more is read while so much waits to be answered. What was received with it can come on top. */
const maxWaiting = 64
const maxWaitingBytes = 128 * 1024

/** A client that leaves so many bytes of answers unread is given up. */
const maxUnreadBytes = 256 * 1024

type Item =
  { readonly _tag: "Frame"; readonly frame: Frame } | { readonly _tag: "End"; readonly answer: Ending }

/** What is said last. */
interface Ending {
  readonly reply?: SessionReply.SessionReply
  readonly closing: SessionReply.Closing
}

const endings: Readonly<Record<SessionReply.Closing["code"], End>> = {
  1001: "going away",
  1008: "rate limited",
  1013: "unavailable"
}

/** What a socket has received and nobody has answered. Reading pauses while it is too much. */
class Inbound {
  readonly #webSocket: WebSocket
  readonly #queue: Queue.Queue<Item>
  #waiting = 0
  #waitingBytes = 0
  /** What comes after the end is of no account. */
  #hasEnded = false

  constructor(webSocket: WebSocket, queue: Queue.Queue<Item>) {
    this.#webSocket = webSocket
    this.#queue = queue
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  offer(frame: Frame): void {
    this.#waiting += 1
    this.#waitingBytes += frame.data.length
    this.#queue.unsafeOffer({ _tag: "Frame", frame })
    if (this.#waiting >= maxWaiting || this.#waitingBytes >= maxWaitingBytes) this.#webSocket.pause()
  }

  /** What has come before is answered first. */
  end(answer: Ending): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#queue.unsafeOffer({ _tag: "End", answer })
  }

  readonly take: Effect.Effect<Item> = Effect.suspend(() =>
    Effect.tap(Queue.take(this.#queue), (item) =>
      Effect.sync(() => {
        if (item._tag === "Frame") this.#release(item.frame)
      })
    )
  )

  #release({ data }: Frame): void {
    this.#waiting -= 1
    this.#waitingBytes -= data.length
    const hasRoom = this.#waiting <= maxWaiting / 2 && this.#waitingBytes <= maxWaitingBytes / 2
    if (hasRoom && this.#webSocket.isPaused) this.#webSocket.resume()
  }
}

const send = (webSocket: WebSocket, reply: SessionReply.SessionReply): Effect.Effect<void, End> =>
  Effect.suspend(() => {
    // After its close frame nothing may follow.
    if (webSocket.readyState === WebSocket.OPEN) webSocket.send(JSON.stringify(reply))
    return webSocket.bufferedAmount > maxUnreadBytes ? Effect.fail("slow reader" as const) : Effect.void
  })

/** Answers what comes, in its order, until an answer ends the socket. */
const answerAll = (webSocket: WebSocket, inbound: Inbound, { answer }: Options): Effect.Effect<Ending, End> =>
  Effect.gen(function* () {
    for (;;) {
      const item = yield* inbound.take
      if (item._tag === "End") {
        if (item.answer.reply !== undefined) yield* send(webSocket, item.answer.reply)
        return item.answer
      }
      const { closing, reply } = yield* answer(item.frame)
      yield* send(webSocket, reply)
      if (closing !== undefined) return { closing }
    }
  })

/** Pings, and ends when nothing at all has come between two pings. Who is not read from cannot be heard. */
const listenForLife = (webSocket: WebSocket, pingEvery: Duration.DurationInput): Effect.Effect<never, End> =>
  Effect.suspend(() => {
    let isHeard = true
    const hear = () => {
      isHeard = true
    }
    webSocket.on("message", hear).on("pong", hear).on("ping", hear)
    const beat = Effect.suspend(() => {
      if (!isHeard && !webSocket.isPaused) return Effect.fail("silent" as const)
      isHeard = false
      webSocket.ping()
      return Effect.void
    })
    return Effect.forever(Effect.delay(beat, pingEvery))
  })

const listen = (
  webSocket: WebSocket,
  inbound: Inbound,
  { admit }: Options,
  closed: Deferred.Deferred<void>
) => {
  const admitted = (): boolean => {
    if (inbound.hasEnded) return false
    if (admit()) return true
    inbound.end(SessionReply.rateLimited)
    return false
  }
  webSocket.on("message", (data, isBinary) => {
    if (admitted()) inbound.offer({ data, isBinary })
  })
  webSocket.on("ping", admitted)
  // It closes itself after an error, with the code that says which: 1009 too large, 1007 no UTF-8, 1002 no WebSocket.
  webSocket.on("error", () => undefined)
  webSocket.on("close", () => Deferred.unsafeDone(closed, Effect.void))
}

/** Says good-bye. A client that does not answer it is cut. */
const close = (webSocket: WebSocket, { closing }: Ending, closed: Deferred.Deferred<void>) =>
  Effect.suspend(() => {
    webSocket.close(closing.code, closing.reason)
    // Its close frame has to be read.
    if (webSocket.isPaused) webSocket.resume()
    return Effect.as(Deferred.await(closed), endings[closing.code])
  })

/** Serves a socket that has just been opened, until it is closed. Begins at once: nothing that comes is missed. */
export const serve = (webSocket: WebSocket, options: Options): Effect.Effect<End> =>
  Effect.gen(function* () {
    const closed = yield* Deferred.make<void>()
    const inbound = new Inbound(webSocket, yield* Queue.unbounded<Item>())
    listen(webSocket, inbound, options, closed)
    const stopped = Effect.zipRight(
      options.stop,
      Effect.sync(() => inbound.end({ closing: SessionReply.goingAway }))
    )
    yield* Effect.forkScoped(stopped)
    const gone = Deferred.await(closed)
    const served = Effect.flatMap(Effect.raceFirst(answerAll(webSocket, inbound, options), gone), (ending) =>
      ending === undefined ? Effect.succeed<End>("closed by the client") : close(webSocket, ending, closed)
    )
    return yield* Effect.raceFirst(served, listenForLife(webSocket, options.pingEvery)).pipe(
      Effect.catchAll(Effect.succeed)
    )
  }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => webSocket.terminate())))
