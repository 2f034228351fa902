import type { ConnectionOptions as TlsOptions } from "node:tls"
import type { BaseOptions, SASLOptions } from "@platformatic/kafka"
import { Config, Context, Duration, Effect, Layer, Redacted } from "effect"

export interface Options {
  /** `host:port` of some brokers; the others are learnt from them. */
  readonly brokers: ReadonlyArray<string>
  /** How brokers name this program in their logs and quotas. Default `twinbox`. */
  readonly clientId?: string
  /** TLS, with the options of `node:tls`: `{}` trusts the usual authorities. Default: none. */
  readonly tls?: TlsOptions
  /** The name to ask for by SNI, `true` for the broker's host. Several brokers behind one address need it. */
  readonly tlsServerName?: string | boolean
  /** SASL, with the options of `@platformatic/kafka`; printed nowhere. Default: none. */
  readonly sasl?: Redacted.Redacted<SASLOptions>
  /** Time limit of one attempt to connect. Default 5 seconds. */
  readonly connectTimeout?: Duration.DurationInput
  /** Time limit of one request; then its connection is given up. Default 10 seconds. */
  readonly requestTimeout?: Duration.DurationInput
}

/** Where a Kafka is, and how to be let in. Each client makes connections of its own. */
export class KafkaCluster extends Context.Tag("@twinbox/kafka/KafkaCluster")<
  KafkaCluster,
  {
    /** For people: hosts and ports, without credentials. */
    readonly brokers: string
    readonly requestTimeout: Duration.Duration
    /**
     * Options of one client of `@platformatic/kafka`. It tries nothing again by itself: its own way of doing so waits
     * for ever on a broker that is away, and is not to be interrupted.
     */
    readonly clientOptions: () => BaseOptions
  }
>() {}

export const make = (options: Options): KafkaCluster["Type"] => {
  const requestTimeout = Duration.decode(options.requestTimeout ?? "10 seconds")
  return {
    brokers: options.brokers.join(","),
    requestTimeout,
    clientOptions: () => ({
      clientId: options.clientId ?? "twinbox",
      bootstrapBrokers: [...options.brokers],
      connectTimeout: Duration.toMillis(options.connectTimeout ?? "5 seconds"),
      requestTimeout: Duration.toMillis(requestTimeout),
      timeout: Duration.toMillis(requestTimeout),
      retries: false,
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      ...(options.tlsServerName === undefined ? {} : { tlsServerName: options.tlsServerName }),
      ...(options.sasl === undefined ? {} : { sasl: Redacted.value(options.sasl) })
    })
  }
}

export const layer = (options: Options): Layer.Layer<KafkaCluster> =>
  Layer.succeed(KafkaCluster, make(options))

const brokersConfig = Config.map(Config.nonEmptyString("KAFKA_BROKERS"), (text) =>
  text.split(",").map((broker) => broker.trim())
)

/** Reads `KAFKA_BROKERS`: `host:port`, several joined by commas. */
export const layerConfig = (given: Omit<Options, "brokers"> = {}) =>
  Layer.effect(
    KafkaCluster,
    Effect.map(brokersConfig, (brokers) => make({ ...given, brokers }))
  )
