import {
  ExportAccess,
  type Exporter,
  type ExportError,
  type ExportSource,
  SnapshotSource
} from "@twinbox/exporter"
import { Duration, Effect, Option, Stream } from "effect"
import type { Collection, Db } from "mongodb"
import { customerCollection, customerOriginalTopic, customerTopic } from "./Customer.ts"
import { columns as allColumns, type ExportBody } from "./ExportBody.ts"

/** A total is an estimate that an export can do without. */
const countWithin = Duration.seconds(2)

type Customers = Collection<SnapshotSource.Stored>

const collectionOf = (db: Db, view: "anonymized" | "original"): Customers =>
  db.collection(view === "original" ? customerCollection : `${customerCollection}_anonymised`)

/** Fields of the Schema and no others: not what the repository or other programs keep beside them. */
const fieldsOf = (columns: ReadonlyArray<string> = allColumns): ReadonlyArray<string> => [
  ...new Set(columns.map((column) => column.split(".", 1)[0] ?? column))
]

/** Reads nothing before it is opened. */
const snapshot = (collection: Customers, columns: ReadonlyArray<string> | undefined): ExportSource =>
  Stream.unwrap(
    Effect.map(SnapshotSource.make({ collection, columns: fieldsOf(columns) }), ({ records }) => records)
  )

const estimate = (collection: Customers) =>
  Effect.tryPromise(() => collection.estimatedDocumentCount()).pipe(
    Effect.timeout(countWithin),
    Effect.option
  )

/** Starts an export of customers. Who may not is refused before anything is read. */
export const start = (
  exporter: Exporter.ExporterService,
  db: Db,
  user: ExportAccess.User,
  { columns, format = "ndjson", gzip = false, mode = "snapshot", view = "anonymized" }: ExportBody
): Effect.Effect<Exporter.Handle, ExportError> =>
  Effect.gen(function* () {
    const collection = collectionOf(db, view)
    const isRead = mode !== "live"
    const total =
      isRead && ExportAccess.mayStart(user, view) ? yield* estimate(collection) : Option.none<number>()
    const source = isRead ? snapshot(collection, columns) : Stream.empty
    const options = {
      format,
      gzip,
      ...(columns === undefined ? {} : { columns }),
      ...(Option.isSome(total) ? { total: total.value } : {})
    }
    const isLive = mode !== "snapshot"
    return yield* view === "original"
      ? exporter.start(user, source, {
          ...options,
          view,
          ...(isLive ? { live: customerOriginalTopic } : {})
        })
      : exporter.start(user, source, { ...options, view, ...(isLive ? { live: customerTopic } : {}) })
  })
