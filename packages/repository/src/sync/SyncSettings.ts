import type { Duration } from "effect"
import type { Db } from "mongodb"

/** What all parts of a sync share. */
export interface SyncSettings {
  readonly db: Db
  /** Name of the originals' collection. */
  readonly collection: string
  /** Documents of a page and of a transaction, at most. */
  readonly batchSize: number
  /** How long an instance may be silent before others take over what it was at. */
  readonly leaseMillis: number
  /** How long a step is tried again while MongoDB is away or the outbox is full. */
  readonly patience: Duration.DurationInput
}
