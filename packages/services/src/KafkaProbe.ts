import { connect } from "node:net"
import { Data, type Duration, Effect } from "effect"

/** No Kafka answered. */
export class NoKafka extends Data.TaggedError("NoKafka")<{ readonly message: string }> {}

/*
 * An ApiVersions request of version 0, which every broker since 0.10 answers before anything else, credentials included:
 * https://kafka.apache.org/protocol#The_Messages_ApiVersions. Lengths do not count themselves.
 */
const apiVersionsKey = 18
const correlationId = 0x74776978
const lengthBytes = 4
const requestBytes = 2 + 2 + 4 + 2
const noClientId = -1

const request = (): Buffer => {
  const bytes = Buffer.alloc(lengthBytes + requestBytes)
  bytes.writeInt32BE(requestBytes, 0)
  bytes.writeInt16BE(apiVersionsKey, 4)
  bytes.writeInt16BE(0, 6)
  bytes.writeInt32BE(correlationId, 8)
  bytes.writeInt16BE(noClientId, 12)
  return bytes
}

/** Length, correlation id and error code: what follows is the list of APIs. */
const answerBytes = lengthBytes + 4 + 2

const isAnswer = (bytes: Buffer): boolean =>
  bytes.readInt32BE(lengthBytes) === correlationId && bytes.readInt16BE(lengthBytes + 4) === 0

/** Asks what is on a port which APIs it has, and so learns whether it is a Kafka that serves. */
export const probeKafka = (
  host: string,
  port: number,
  limit: Duration.DurationInput
): Effect.Effect<void, NoKafka> =>
  Effect.async<void, NoKafka>((resume) => {
    const fail = (message: string) => resume(new NoKafka({ message }))
    const socket = connect({ host, port })
    let received: Buffer = Buffer.alloc(0)
    socket.once("connect", () => socket.write(request()))
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (received.length < answerBytes) return
      if (isAnswer(received)) resume(Effect.void)
      else fail("it speaks another protocol")
      socket.destroy()
    })
    socket.once("error", (error) => fail(error.message))
    socket.once("close", () => fail("it closed the connection"))
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.timeoutFail({ duration: limit, onTimeout: () => new NoKafka({ message: "it did not answer" }) })
  )
