import { Context, Effect, Layer } from "effect"
import type { FailureReason } from "./ExportError.ts"
import type { EndState } from "./ExportState.ts"

/**
 * - `Refused`: a start without permission;
 * - `Started`, `Stopped`, `Finished`: what a user asked for, and got;
 * - `Ended`: an export came to its end, with all its rows;
 * - `DownloadStarted`, `DownloadEnded`: a user was given data, and how many bytes in the end.
 */
export type ExportEvent =
  "Refused" | "Started" | "Stopped" | "Finished" | "Ended" | "DownloadStarted" | "DownloadEnded"

export interface AuditRecord {
  readonly event: ExportEvent
  /** Absent with `Refused`. */
  readonly exportId?: string
  /** The user who did it; with `Ended`, the owner. */
  readonly who: string
  /** Milliseconds since the epoch, by the clock of this process. */
  readonly when: number
  readonly view?: "anonymized" | "original"
  readonly rows?: number
  readonly bytes?: number
  /** With `Ended`. */
  readonly state?: EndState
  readonly failure?: FailureReason
}

export interface Audit {
  /** To be quick, and to keep what goes wrong to itself: whoever is watched waits for it. */
  readonly record: (record: AuditRecord) => Effect.Effect<void>
}

/** Who did what to which export, and when. Where nobody provides one, nothing is recorded. */
export class ExportAudit extends Context.Reference<ExportAudit>()("@twinbox/exporter/ExportAudit", {
  defaultValue: (): Audit => ({ record: () => Effect.void })
}) {}

export const layer = (audit: Audit): Layer.Layer<ExportAudit> => Layer.succeed(ExportAudit, audit)
