import { isDeepStrictEqual } from "node:util"
import type { Anonymizer } from "@twinbox/anonymize"
import { Either } from "effect"
import * as DocumentId from "../DocumentId.ts"
import type { DocumentIssue, InvalidDocument } from "../RepositoryError.ts"
import {
  type Current,
  type Fields,
  fieldsOf,
  type StoredDocument,
  type StoredTwin,
  twinFieldsOf,
  versionIn,
  versionOf
} from "../StoredDocument.ts"

/**
 * How an original and its twin differ:
 * - `InStep`: not at all, or there is neither;
 * - `Unversioned`: the original has no version, as a program left it that knows none;
 * - `Missing`: there is no twin;
 * - `Stale`: the twin is of another version, or a tombstone says that the original is gone;
 * - `Outdated`: another key version or other privacy rules made the twin. `keyVersion`: that one, if it is a number;
 * - `Altered`: the twin is not what becomes of the original, in these fields. Whichever of the two was changed;
 * - `Extra`: there is a twin and no original;
 * - `Unfit`: the original does not fit the Schema, and so has no twin made. An earlier one stays as it is: it shows the
 *   last state that did fit, while its removal would tell everybody that the original is gone.
 */
export type Difference =
  | { readonly _tag: "InStep" }
  | { readonly _tag: "Unversioned" }
  | { readonly _tag: "Missing" }
  | { readonly _tag: "Stale" }
  | { readonly _tag: "Outdated"; readonly keyVersion: number | undefined }
  | { readonly _tag: "Altered"; readonly fields: ReadonlyArray<string> }
  | { readonly _tag: "Extra" }
  | { readonly _tag: "Unfit"; readonly issues: ReadonlyArray<DocumentIssue> }

/** What originals and twins are compared by. */
export interface Rules {
  readonly stream: string
  readonly anonymizer: Pick<Anonymizer<Fields, Fields>, "keyVersion" | "fingerprint" | "anonymizeEither">
  /** Whether a stored original fits the Schema. */
  readonly check: (original: StoredDocument) => Either.Either<unknown, InvalidDocument>
  /** Leaves that of originals without a twin to the transaction that is to make one, and checks anyway. Default false. */
  readonly checksLater?: boolean
}

const inStep: Difference = { _tag: "InStep" }

const unfit = (...issues: ReadonlyArray<DocumentIssue>): Difference => ({ _tag: "Unfit", issues })

/** Names of the top-level fields in which two documents differ. */
const differing = (left: Fields, right: Fields): ReadonlyArray<string> =>
  [...new Set([...Object.keys(left), ...Object.keys(right)])].filter(
    (name) => !isDeepStrictEqual(left[name], right[name])
  )

const compareFields = (rules: Rules, original: StoredDocument, twin: StoredTwin): Difference =>
  Either.match(rules.anonymizer.anonymizeEither(fieldsOf(original)), {
    onLeft: ({ path }) => unfit({ path, problem: "cannot be anonymized" }),
    onRight: (made) => {
      const stored = twinFieldsOf(twin)
      return isDeepStrictEqual(made, stored) ? inStep : { _tag: "Altered", fields: differing(made, stored) }
    }
  })

const compareTwin = (rules: Rules, original: StoredDocument, current: Current): Difference => {
  const { tombstone, twin } = current
  const { fingerprint, keyVersion } = rules.anonymizer
  if (versionIn(original) === 0) return { _tag: "Unversioned" }
  if (twin === undefined) return { _tag: "Missing" }
  if (versionIn(twin) !== versionIn(original) || tombstone !== undefined) return { _tag: "Stale" }
  if (twin.keyVersion !== keyVersion || twin.fingerprint !== fingerprint) {
    return {
      _tag: "Outdated",
      keyVersion: Number.isSafeInteger(twin.keyVersion) ? twin.keyVersion : undefined
    }
  }
  return compareFields(rules, original, twin)
}

const highestVersion = Number.MAX_SAFE_INTEGER

/** Compares what is stored about an id. Whatever foreign programs have put there, it names fields and never values. */
export const of = (rules: Rules, id: unknown, current: Current): Difference => {
  const { original, twin } = current
  if (original === undefined && twin === undefined) return inStep
  const idIssue = DocumentId.issueOf(rules.stream, id)
  if (idIssue !== undefined) return unfit(idIssue)
  if (versionOf(current) === highestVersion) {
    return unfit({ path: "version", problem: "is the highest that there is" })
  }
  if (original === undefined) return { _tag: "Extra" }
  if (rules.checksLater === true && twin === undefined) return compareTwin(rules, original, current)
  return Either.match(rules.check(original), {
    onLeft: ({ issues }) => unfit(...issues),
    onRight: () => compareTwin(rules, original, current)
  })
}
