import { MongoCall, type MongoError } from "@twinbox/mongodb"
import type { MirrorView } from "@twinbox/outbox"
import { type Effect, Either } from "effect"
import type { Collection, Db } from "mongodb"
import * as DocumentId from "../DocumentId.ts"
import {
  type Fields,
  type StoredDocument,
  type StoredTwin,
  twinFieldsOf,
  versionIn
} from "../StoredDocument.ts"
import type { CollectionNames } from "../WriteBatch.ts"
import type { Sync } from "../WritePlan.ts"

/** What was published of a document. */
export interface Published {
  readonly id: string
  readonly version: number
  /** JSON text, as messages have it. */
  readonly payload: string
}

/** What a mirror should show, by what the database has. */
export interface MirrorSource {
  /** Name of the collection whose documents it shows. */
  readonly collection: string
  readonly documents: Collection<StoredDocument>
  /** Undefined: it cannot have been published. That is for the comparison of originals and twins. */
  readonly publishedOf: (document: StoredDocument) => Published | undefined
  readonly find: (
    ids: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<StoredDocument>, MongoError.MongoError>
}

export const make = (
  db: Db,
  names: CollectionNames,
  stream: string,
  fieldsOf: Sync["fieldsOf"],
  view: MirrorView.MirrorView["view"]
): MirrorSource => {
  const isOfTwins = view === "anonymized"
  const collection = isOfTwins ? names.twins : names.originals
  const documents = db.collection<StoredDocument>(collection)

  const publishedFieldsOf = (document: StoredDocument): Fields | undefined =>
    isOfTwins ? twinFieldsOf(document as StoredTwin) : Either.getOrUndefined(fieldsOf(document))

  return {
    collection,
    documents,
    publishedOf: (document) => {
      const { _id: id } = document
      const version = versionIn(document)
      if (version === 0 || DocumentId.issueOf(stream, id) !== undefined) return undefined
      const fields = publishedFieldsOf(document)
      return fields === undefined
        ? undefined
        : { id, version, payload: JSON.stringify({ _id: id, version, ...fields }) }
    },
    find: (ids) =>
      MongoCall.attempt(() =>
        documents.find({ _id: { $in: [...ids] } }, { readConcern: { level: "majority" } }).toArray()
      )
  }
}
