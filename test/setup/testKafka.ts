import { randomUUID } from "node:crypto"
import { KafkaServer, type Report } from "@twinbox/services"
import { Config, Effect, Option } from "effect"
import { describe, inject } from "vitest"

const silent: Report = () => Effect.void

/** Of this machine, whatever Kafka its environment names: tests make and delete topics. */
const kafkaOptions = Config.map(KafkaServer.config({ report: silent }), (options) => ({
  ...options,
  uri: Option.none<string>()
}))

/** Why tests with Kafka cannot run on this machine; they are skipped then, and reported as such. */
export const whyNoKafka = inject("whyNoKafka")

/** Whether their absence is a failure, as it is in `.ci/run`. */
export const isKafkaRequired = process.env["TWINBOX_REQUIRE_KAFKA"] === "on"

/** `describe` for tests that need Kafka. */
export const describeKafka = whyNoKafka === undefined ? describe : describe.skip

/** A Kafka of this test's own, for what cannot be done to a shared one. */
export const ownKafka = (given: Parameters<typeof KafkaServer.config>[0] = {}) =>
  Effect.flatMap(kafkaOptions, (options) => KafkaServer.start({ ...options, ...given }))

/** The Kafka of this run, and names of topics that nobody else uses. */
export interface TestKafka {
  /** `host:port`. */
  readonly brokers: string
  /** What the names of this test's topics begin with. */
  readonly prefix: string
}

/**
 * The Kafka that all test files of a run share. The first to ask starts it; it goes away with the run, and so do all
 * topics.
 */
export const testKafka = Effect.map(
  ownKafka({ dataFolder: inject("kafkaFolder") }),
  ({ brokers }): TestKafka => ({ brokers, prefix: `test-${randomUUID().slice(0, 8)}-` })
)
