import type { Relay } from "@twinbox/outbox"
import type { Document } from "mongodb"

/** Where a relay of the bench delivers to, in Redis. */
export interface RedisSinkSettings {
  readonly name: string
  /** `mirror`: a Redis mirror. `log`: writes down keys in a Redis stream of that name, with one command a batch. */
  readonly kind: "mirror" | "log"
  readonly redisUrl: string
  /** Messages that a log keeps, roughly. Left out: all of them. */
  readonly keeps?: number
}

/** A topic of Kafka, which is made. */
export interface KafkaSinkSettings {
  readonly name: string
  readonly kind: "kafka"
  readonly brokers: string
  readonly kafkaTopic: string
}

export type SinkSettings = RedisSinkSettings | KafkaSinkSettings

export interface RelaySettings {
  readonly mongoUri: string
  readonly database: string
  readonly owner: string
  readonly sinks: ReadonlyArray<SinkSettings>
  /** Counts commands and keeps the first read of the outbox. */
  readonly monitors?: boolean
  /** Notes when sampled messages were confirmed. */
  readonly samples?: boolean
}

/** What the bench asks of a process with a relay in it. One answer follows each. */
export type Request =
  | { readonly _tag: "Start"; readonly settings: RelaySettings }
  | { readonly _tag: "Stop" }
  | { readonly _tag: "Report" }

/** A message that a sink has confirmed, and when, by `nowMillis`. */
export type Sample = readonly [key: string, atMillis: number]

/** What a sink has confirmed since the relay was started. */
export interface Confirmed {
  readonly count: number
  /** The first batch: who measures a rate begins where it ends. */
  readonly firstCount: number
  readonly firstAtMillis: number
  readonly lastAtMillis: number
  /** Since the report before. */
  readonly samples: ReadonlyArray<Sample>
}

export interface Report {
  readonly atMillis: number
  /** Undefined while no relay is running. */
  readonly relay: Relay.Status | undefined
  readonly sinks: Readonly<Record<string, Confirmed>>
  /** Commands sent to MongoDB since the relay was started, without the driver's own monitoring of the server. */
  readonly commands: number
  /** The first read of ready messages, as the driver sent it. */
  readonly read: Document | undefined
  /** User and system time of the process. */
  readonly cpuMillis: number
  readonly rssBytes: number
  /** The most that it ever was. */
  readonly peakRssBytes: number
}

export type Reply =
  { readonly _tag: "Done"; readonly report: Report } | { readonly _tag: "Failed"; readonly reason: string }

/** The machine's monotonic clock, which all processes share. */
export const nowMillis = (): number => Number(process.hrtime.bigint()) / 1_000_000

/** One message of sixteen: ids of MongoDB end in a counter. */
export const isSampled = (id: string): boolean => id.endsWith("0")
