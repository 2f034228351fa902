import { Path } from "@effect/platform/Path"
import { KafkaCluster } from "@twinbox/kafka"
import {
  KafkaServer,
  type KafkaServerOptions,
  type Report,
  reportToLog,
  type ServiceError
} from "@twinbox/services"
import { Context, Duration, Effect, Either, Fiber, Layer, Option } from "effect"
import { Settings } from "./Settings.ts"

type Cluster = KafkaCluster.KafkaCluster["Type"]

/** Why a run is without Kafka. */
export interface NoKafka {
  readonly message: string
}

/** The Kafka of this run, or why there is none. An embedded one takes seconds to start, which nobody else waits for. */
export class EventKafka extends Context.Tag("@twinbox/reference-app/EventKafka")<
  EventKafka,
  Either.Either<Effect.Effect<Cluster, ServiceError>, NoKafka>
>() {}

/** A stop of the app waits for so long; Kafka finds again what it could not write down by then. */
const stopTimeout = Duration.seconds(2)

/** No Java on this machine, or no Kafka to be fetched: the app can do without. */
const isAbsent = ({ reason }: ServiceError): boolean => reason === "NotFound" || reason === "DownloadFailed"

/** What is found is told by the start. */
const reportOfSearch: Report = (line) => (line.includes(": using ") ? Effect.void : reportToLog(line))

/** Looks for what a start needs; a Kafka that the environment names needs nothing of this machine. */
const find = (options: KafkaServerOptions) =>
  Option.isSome(options.uri) ? Effect.void : KafkaServer.find({ ...options, report: reportOfSearch })

const begin = (options: KafkaServerOptions) =>
  Effect.map(
    Effect.forkScoped(
      Effect.map(KafkaServer.start(options), ({ brokers }) =>
        KafkaCluster.make({ brokers: brokers.split(","), clientId: "reference-app" })
      )
    ),
    (starting) => Fiber.join(starting)
  )

const make = Effect.gen(function* () {
  const { dataFolder, kafka } = yield* Settings
  if (!kafka) return Either.left<NoKafka>({ message: "KAFKA is off" })
  const paths = yield* Path
  const options = yield* KafkaServer.config({ dataFolder: paths.join(dataFolder, "kafka"), stopTimeout })
  return yield* Effect.zipRight(find(options), begin(options)).pipe(
    Effect.map(Either.right),
    Effect.catchIf(isAbsent, (error) => Effect.succeed(Either.left<NoKafka>(error)))
  )
})

/** Finds a Kafka, or begins to start one. */
export const layer = Layer.scoped(EventKafka, make)

/** Where no role needs Kafka, none is started. */
export const layerUnneeded: Layer.Layer<EventKafka> = Layer.succeed(
  EventKafka,
  Either.left({ message: "no role of this process needs Kafka" })
)
