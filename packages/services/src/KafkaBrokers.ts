import { type Duration, Effect, Option } from "effect"
import { awaitUri } from "./AwaitUri.ts"
import { type NoKafka, probeKafka } from "./KafkaProbe.ts"
import type { Report } from "./Report.ts"
import { ServiceError } from "./ServiceError.ts"

interface Broker {
  readonly host: string
  readonly port: number
}

/** `host:port`, with square brackets around an address of IPv6. */
const pattern = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:@/[\]]+)):(\d{1,5})$/

const parseBroker = (text: string): Option.Option<Broker> => {
  const [, address, name, port] = pattern.exec(text.trim()) ?? []
  const host = address ?? name
  return host === undefined || Number(port) > 65_535
    ? Option.none()
    : Option.some({ host, port: Number(port) })
}

const parse = (brokers: string): Option.Option<ReadonlyArray<Broker>> =>
  Option.all(brokers.split(",").map(parseBroker))

// What is not an address is not repeated: it may be a URL with credentials.
const notBrokers = new ServiceError({
  service: "Kafka",
  reason: "InvalidUri",
  message: "KAFKA_BROKERS is not a list of brokers: it looks like host:port,host:port.",
  retryable: false
})

const noAnswer = (brokers: string, cause: NoKafka) =>
  new ServiceError({
    service: "Kafka",
    reason: "Unreachable",
    message: `No Kafka answers at ${brokers} (${cause.message}): start it, correct KAFKA_BROKERS, or unset it to have one started for you.`,
    retryable: true,
    cause
  })

const attemptLimit = "2 seconds"

/** Waits until one of the brokers answers, without encryption or credentials. */
export const checkBrokers = (
  brokers: string,
  options: { readonly limit: Duration.DurationInput; readonly report: Report }
): Effect.Effect<void, ServiceError> =>
  Option.match(parse(brokers), {
    onNone: () => notBrokers,
    onSome: (parsed) => {
      const probes = parsed.map(({ host, port }) => probeKafka(host, port, attemptLimit))
      const check = Effect.mapError(Effect.raceAll(probes), (cause) => noAnswer(brokers, cause))
      return awaitUri(check, { ...options, waiting: `Kafka: waiting for Kafka at ${brokers} ...` })
    }
  })
