import { ExportAudit } from "@twinbox/exporter"
import type { MongoError } from "@twinbox/mongodb"
import { MongoCall, MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Duration, Effect, Layer } from "effect"

/** Who did what to which export, for as long as somebody keeps it. No value of a record is in it. */
export const collection = "export_audit"

/** Whoever is watched waits no longer. */
const noteWithin = Duration.seconds(2)

const make = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  yield* MongoIndexes.ensureCollections([collection])
  const trail = db.collection(collection)
  yield* MongoCall.attempt(() =>
    trail.createIndexes([{ key: { exportId: 1, when: 1 } }, { key: { who: 1, when: 1 } }])
  )
  return {
    record: ({ when, ...entry }: ExportAudit.AuditRecord) =>
      Effect.tryPromise(() => trail.insertOne({ ...entry, when: new Date(when) })).pipe(
        Effect.timeout(noteWithin),
        Effect.asVoid,
        // The log is the second best place for it.
        Effect.catchAll(() =>
          Effect.annotateLogs(Effect.logError("export audit: MongoDB did not take an entry"), { ...entry })
        )
      )
  }
})

/** Keeps the audit of exports in MongoDB. */
export const layer: Layer.Layer<never, MongoError.MongoError, MongoDatabase.MongoDatabase> =
  Layer.unwrapEffect(Effect.map(make, ExportAudit.layer))
