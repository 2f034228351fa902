import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { MongoOutbox } from "@twinbox/mongodb"
import type { MirrorBuild as Port } from "@twinbox/outbox"
import { MirrorBuild, RedisConnection } from "@twinbox/redis"
import { TwinSync, TwinTopic } from "@twinbox/repository"
import { Effect, Layer, Redacted, Schema } from "effect"

const Customer = Schema.Struct({
  name: Schema.String.pipe(Anonymize.pseudonym),
  note: Schema.optional(Schema.String.pipe(Anonymize.redact)),
  visits: Schema.Number.pipe(Anonymize.keep)
})
export const topic = TwinTopic.anonymized("customer", Customer)
export const originalTopic = TwinTopic.original("customer-original", Customer)

export const indexes = (document: unknown) => {
  const { name } = document as { readonly name?: unknown }
  return typeof name === "string" ? { name } : {}
}

/** A database, and a Redis. */
export interface Servers {
  readonly uri: string
  readonly database: string
  readonly url: string
}

export const connected = ({ database, uri, url }: Servers) =>
  Layer.merge(
    MongoOutbox.layer({ uri: Redacted.make(uri), database }),
    RedisConnection.layer({ url: Redacted.make(url) })
  )

/** A build of which steps are replaced or watched. */
export const watching = (
  { mirror, open }: Port.MirrorBuild,
  watch: (build: Port.Build) => Partial<Port.Build>
): Port.MirrorBuild => ({
  mirror,
  open: (options) => Effect.map(open(options), (build) => ({ ...build, ...watch(build) }))
})

/** A build that does something after each of its steps. */
export const stepped = (
  build: Port.MirrorBuild,
  after: (step: "stage" | "swap") => Effect.Effect<void>
): Port.MirrorBuild =>
  watching(build, ({ stage, swapNext }) => ({
    stage: (...given) => Effect.tap(stage(...given), () => after("stage")),
    swapNext: Effect.tap(swapNext, () => after("swap"))
  }))

/** A lease that a test can wait for. */
const lease = "1 second"

/** The sync of the customers, and the builds of their mirrors. */
export const syncAndBuilds = (secret: Redacted.Redacted) =>
  Effect.gen(function* () {
    const key = yield* AnonymizeKey.make({ version: 1, secret })
    const options = { schema: Customer, collection: "customers", topic, originalTopic, key }
    return {
      options,
      sync: yield* TwinSync.make({ ...options, batchSize: 40, patience: "10 seconds" }),
      builds: {
        anonymized: yield* MirrorBuild.make({ view: "anonymized", lease }),
        original: yield* MirrorBuild.make({ view: "original", indexes, lease })
      }
    }
  })
