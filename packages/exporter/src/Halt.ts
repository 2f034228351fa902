import { Data } from "effect"
import type { FailureReason } from "./ExportError.ts"
import type { EndState } from "./ExportState.ts"

/** An export has to end, or has ended elsewhere. */
export class Halt extends Data.TaggedError("Halt")<{
  readonly cause:
    | { readonly _tag: "Failed"; readonly reason: FailureReason; readonly detail?: string }
    | { readonly _tag: "Ended"; readonly state: EndState }
}> {}

export const failed = (reason: FailureReason, detail?: string): Halt =>
  new Halt({ cause: { _tag: "Failed", reason, ...(detail === undefined ? {} : { detail }) } })

export const ended = (state: EndState): Halt => new Halt({ cause: { _tag: "Ended", state } })
