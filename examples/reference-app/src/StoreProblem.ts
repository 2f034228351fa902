import type { CustomerStoreError, CustomerStoreReason, PatchRefused } from "./CustomerStore.ts"
import { invalid, type Kind, Problem } from "./Problem.ts"

const answers: Readonly<Record<CustomerStoreReason, { readonly kind: Kind; readonly detail: string }>> = {
  NotFound: { kind: "not-found", detail: "There is no customer of this id." },
  VersionConflict: {
    kind: "precondition-failed",
    detail: "Read the customer again, and then decide whether to change this version, too."
  },
  KeyReused: { kind: "key-reused", detail: "Choose a new Idempotency-Key for another body." },
  Unavailable: { kind: "unavailable", detail: "Nothing was written: come again later." },
  OutcomeUnknown: {
    kind: "outcome-unknown",
    detail: "Read before you write again. An Idempotency-Key makes it safe to repeat a POST."
  },
  Absent: {
    kind: "unavailable",
    detail: "This process runs without Redis, or with TWO_WAY=off: there is /v1 only."
  },
  Failed: { kind: "internal", detail: "The log has more under the id of this request." }
}

export const notFound = new Problem(answers.NotFound)

/** What the work of a request fails with. */
export type Source = Problem | CustomerStoreError | PatchRefused

/** What a client is told. */
export const of = (error: Source): Problem => {
  switch (error._tag) {
    case "Problem":
      return error
    case "PatchRefused":
      return invalid(error.errors)
    case "CustomerStoreError":
      return new Problem({
        ...answers[error.reason],
        ...(error.cause === undefined ? {} : { cause: error.cause })
      })
  }
}
