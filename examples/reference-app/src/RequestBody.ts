import type { IncomingMessage } from "node:http"
import type { HttpServerRequest } from "@effect/platform"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Effect, Either } from "effect"
import { Problem } from "./Problem.ts"

/** A body that is JSON: what it says, and its text. */
export interface JsonBody {
  readonly value: unknown
  readonly text: string
}

/** Bytes of a body, at most. */
export const maxBytes = 64 * 1024

/** Objects and lists inside one another, at most. */
const maxDepth = 32

const tooLarge = new Problem({
  kind: "body-too-large",
  detail: `A body has ${maxBytes} bytes at most.`
})

const noJson = new Problem({ kind: "invalid-json", detail: "The body must be JSON text in UTF-8." })

const tooDeep = new Problem({
  kind: "invalid-json",
  detail: `A body has ${maxDepth} objects and lists inside one another at most.`
})

const mediaTypeProblem = (accepted: ReadonlyArray<string>) =>
  new Problem({
    kind: "unsupported-media-type",
    detail: `Send ${accepted.join(" or ")} in UTF-8, without a content encoding.`,
    headers: { accept: accepted.join(", ") }
  })

const isUtf8 = (parameter: string): boolean => /^charset="?utf-?8"?$/i.test(parameter.trim())

/** Parameters other than the charset have no meaning for JSON. */
const isAccepted = (contentType: string | undefined, accepted: ReadonlyArray<string>): boolean => {
  const [mediaType = "", ...parameters] = (contentType ?? "").split(";")
  const charsets = parameters.filter((parameter) => /^\s*charset\s*=/i.test(parameter))
  return accepted.includes(mediaType.trim().toLowerCase()) && charsets.every(isUtf8)
}

/** Keeps the bytes, and no more than are allowed: the rest flows by, so that the client gets to read its answer. */
const readBytes = (message: IncomingMessage): Effect.Effect<Buffer, Problem> =>
  Effect.async((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    const end = (outcome: Effect.Effect<Buffer, Problem>) => {
      stop()
      resume(outcome)
    }
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size > maxBytes) end(tooLarge)
      else chunks.push(chunk)
    }
    const onEnd = () => end(Effect.succeed(Buffer.concat(chunks, size)))
    // The client is gone: nobody waits for an answer any more.
    const onCut = () => end(Effect.interrupt)
    const stop = () => {
      message.off("data", onData).off("end", onEnd).off("close", onCut).off("error", onCut).resume()
    }
    message.on("data", onData).on("end", onEnd).on("close", onCut).on("error", onCut)
    return Effect.sync(stop)
  })

const parse = (bytes: Buffer): Either.Either<JsonBody, Problem> =>
  Either.try({
    try: () => {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
      return { value: JSON.parse(text) as unknown, text }
    },
    catch: () => noJson
  })

/** Whether a value of JSON has more than so many objects and lists inside one another. */
export const isDeeperThan = (value: unknown, depth: number): boolean =>
  typeof value === "object" &&
  value !== null &&
  (depth === 0 || Object.values(value).some((member) => isDeeperThan(member, depth - 1)))

/** Reads the JSON body of a request; `accepted` are its media types. */
export const json = (
  request: HttpServerRequest.HttpServerRequest,
  accepted: ReadonlyArray<string>
): Effect.Effect<JsonBody, Problem> =>
  Effect.gen(function* () {
    const { headers } = request
    const isEncoded = (headers["content-encoding"] ?? "identity") !== "identity"
    if (isEncoded || !isAccepted(headers["content-type"], accepted)) return yield* mediaTypeProblem(accepted)
    const body = yield* parse(yield* readBytes(NodeHttpServerRequest.toIncomingMessage(request)))
    return isDeeperThan(body.value, maxDepth) ? yield* tooDeep : body
  })
