import { type AnonymizeKey, Anonymizer, type AnonymizerError, type AnonymizerOf } from "@twinbox/anonymize"
import type { MongoError } from "@twinbox/mongodb"
import { MongoCall, MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Key, type Outbox, type Topic } from "@twinbox/outbox"
import { type Context, Effect, type Schema } from "effect"
import * as DocumentCodec from "./DocumentCodec.ts"
import * as KeyRegistry from "./KeyRegistry.ts"
import type { KeyError } from "./RepositoryError.ts"
import * as RetiredKeys from "./rotation/RetiredKeys.ts"
import * as WriteBatch from "./WriteBatch.ts"
import type * as WritePlan from "./WritePlan.ts"

export interface Options<S extends Schema.Schema.AnyNoContext> {
  /** Schema of the fields, every one with a privacy annotation. `_id` and `version` are the repository's own. */
  readonly schema: S
  /** Collection of the originals, for example `customers`. */
  readonly collection: string
  /** Collection of the twins. Default: the originals' name with `_anonymised`. */
  readonly twinCollection?: string
  /** Collection of what is left of deleted documents. Default: the originals' name with `_tombstones`. */
  readonly tombstoneCollection?: string
  /** Where twins are published; made by `TwinTopic.anonymized`. */
  readonly topic: Topic.Any<"anonymized">
  /** Given: originals are published too. Made by `TwinTopic.original`. */
  readonly originalTopic?: Topic.Any<"original">
  /** First part of the message keys, `stream/id`. Default: the topic's name. */
  readonly stream?: string
  /** What pseudonyms are made with. */
  readonly key: AnonymizeKey
}

/** What whoever writes originals with their twins works with. */
export interface RepositoryParts<S extends Schema.Schema.AnyNoContext> {
  readonly database: Context.Tag.Service<MongoDatabase.MongoDatabase>
  readonly names: WriteBatch.CollectionNames
  readonly anonymizer: AnonymizerOf<S>
  readonly codec: DocumentCodec.DocumentCodec<Schema.Schema.Type<S>>
  readonly definition: WritePlan.Definition
  readonly batch: WriteBatch.WriteBatch
}

/** Faults of the program, not of data. */
const checkDefinition = (schema: Schema.Schema.AnyNoContext, stream: string) => {
  const clashing = DocumentCodec.clashes(schema.ast)
  if (clashing.length > 0) {
    return Effect.dieMessage(
      `the Schema has fields of names that the repository uses itself: ${clashing.join(", ")}`
    )
  }
  return Key.isKey(Key.make(stream, "id"))
    ? Effect.void
    : Effect.dieMessage(`'${stream}' cannot begin a key: give the option 'stream' a lower-case name`)
}

/** Notes where the versions of a stream's keys are: who requeues dead letters of mirrors looks for newer ones there. */
const registerStream = (stream: string, { originals, tombstones }: WriteBatch.CollectionNames) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    MongoCall.attempt(() =>
      db
        .collection<{ readonly _id: string }>(MongoIndexes.collections.streams)
        .updateOne(
          { _id: stream },
          { $set: { collection: originals, tombstones } },
          { upsert: true, writeConcern: { w: "majority" } }
        )
    )
  )

/** Compiles the Schema, and makes what is needed in the database. */
export const make = <S extends Schema.Schema.AnyNoContext>(
  options: Options<S>
): Effect.Effect<
  RepositoryParts<S>,
  AnonymizerError | KeyError | MongoError.MongoError,
  MongoDatabase.MongoDatabase | Outbox.Outbox
> =>
  Effect.gen(function* () {
    const { collection, key, originalTopic, topic } = options
    const names: WriteBatch.CollectionNames = {
      originals: collection,
      twins: options.twinCollection ?? `${collection}_anonymised`,
      tombstones: options.tombstoneCollection ?? `${collection}_tombstones`
    }
    const stream = options.stream ?? topic.name
    yield* checkDefinition(options.schema, stream)
    const anonymizer = yield* Anonymizer.compile<S>(options.schema, key)
    yield* MongoIndexes.ensureCollections(Object.values(names))
    yield* registerStream(stream, names)
    const database = yield* MongoDatabase.MongoDatabase
    yield* KeyRegistry.verify(key)
    yield* RetiredKeys.admit(database, names, key)
    const definition: WritePlan.Definition = {
      collection,
      stream,
      // The compiled functions read and write plain documents; the types follow the Schema.
      anonymizer: anonymizer as unknown as WritePlan.Definition["anonymizer"],
      topic,
      originalTopic
    }
    return {
      database,
      names,
      anonymizer,
      codec: DocumentCodec.make(
        options.schema as unknown as Schema.Schema<Schema.Schema.Type<S>, unknown>,
        collection
      ),
      definition,
      batch: yield* WriteBatch.make(definition, names)
    }
  })
