import { type Anonymizer, type UnexpectedValue } from "@twinbox/anonymize"
import { Key, Message, type Outbox, type Topic } from "@twinbox/outbox"
import { isDeepStrictEqual } from "node:util"
import { Either } from "effect"
import { InvalidDocument, NotFound, VersionConflict } from "./RepositoryError.ts"
import {
  type Current,
  type StoredDocument,
  type StoredTwin,
  type Tombstone,
  versionOf
} from "./StoredDocument.ts"

/** Encoded fields of a document, without `_id` and `version`. */
export type Fields = Readonly<Record<string, unknown>>

/** The next state of an original. `extras` are fields that a foreign program added: kept, and never published. */
export interface Next {
  readonly fields: Fields
  readonly extras: Fields
}

/** What a caller wants done with one id. */
export type Intent =
  | {
      readonly _tag: "Create"
      readonly id: string
      readonly fields: Fields
      /** The id was made here and is new: nothing stored about it needs to be read. */
      readonly isNewId: boolean
    }
  | {
      readonly _tag: "Change"
      readonly id: string
      readonly change: (current: StoredDocument) => Either.Either<Next, InvalidDocument>
      readonly expectedVersion: number | undefined
    }
  | { readonly _tag: "Delete"; readonly id: string; readonly expectedVersion: number | undefined }

/** An intent with the ids of its messages, which are made once, before any attempt. */
export interface Write {
  readonly intent: Intent
  readonly messageIds: { readonly anonymized: string; readonly original: string }
}

/** What a write puts into the collections. */
export interface Plan {
  readonly id: string
  readonly version: number
  readonly original:
    { readonly _tag: "Insert" | "Replace"; readonly document: StoredDocument } | { readonly _tag: "Remove" }
  /** Null: the twin is removed. */
  readonly twin: StoredTwin | null
  /** Whether a twin may be there already. */
  readonly twinMayExist: boolean
  /** `null`: an old tombstone goes; `undefined`: there is none. */
  readonly tombstone: Tombstone | null | undefined
  readonly drafts: ReadonlyArray<Outbox.Sequenced>
}

/** The outcome of planning: something to write, or the document as it is when nothing changes. */
export type Planned =
  | { readonly _tag: "Write"; readonly plan: Plan }
  | { readonly _tag: "Unchanged"; readonly document: StoredDocument }

export type PlanError = InvalidDocument | NotFound | VersionConflict

/** What planning needs to know of the repository. */
export interface Definition {
  readonly collection: string
  readonly stream: string
  readonly anonymizer: Anonymizer<Fields, Fields>
  readonly topic: Pick<Topic.Any, "name" | "schemaVersion">
  /** Given: originals are published too. */
  readonly originalTopic: Pick<Topic.Any, "name" | "schemaVersion"> | undefined
}

const fieldsOf = ({ _id, version, ...fields }: StoredDocument): Fields => fields

const twinFieldsOf = ({ _id, fingerprint, keyVersion, version, ...fields }: StoredTwin): Fields => fields

const refuse = (definition: Definition, id: string) => (error: UnexpectedValue) =>
  new InvalidDocument({
    collection: definition.collection,
    id,
    stored: false,
    issues: [{ path: error.path, problem: "cannot be anonymized" }]
  })

/** The twin of the next state: only what changed is hashed, unless it was made with another key or other rules. */
const twinFields = (definition: Definition, id: string, current: Current, next: Fields) => {
  const { anonymizer } = definition
  const { original, twin } = current
  const reusable =
    original !== undefined &&
    twin !== undefined &&
    twin.version === original.version &&
    twin.keyVersion === anonymizer.keyVersion &&
    twin.fingerprint === anonymizer.fingerprint
  const made = reusable
    ? anonymizer.reanonymizeEither(fieldsOf(original), next, twinFieldsOf(twin))
    : anonymizer.anonymizeEither(next)
  return Either.mapLeft(made, refuse(definition, id))
}

const drafts = (
  definition: Definition,
  write: Write,
  version: number,
  original: Fields | null,
  twin: Fields | null
): ReadonlyArray<Outbox.Sequenced> => {
  const { messageIds } = write
  const { id } = write.intent
  const key = Key.make(definition.stream, id)
  const payload = (fields: Fields | null) =>
    fields === null ? null : JSON.stringify({ _id: id, version, ...fields })
  const { originalTopic, topic } = definition
  const anonymized = Message.fromText(topic, key, payload(twin), { id: messageIds.anonymized })
  if (originalTopic === undefined) return [{ draft: anonymized, sequence: version }]
  const published = Message.fromText(originalTopic, key, payload(original), { id: messageIds.original })
  return [anonymized, published].map((draft) => ({ draft, sequence: version }))
}

const putPlan = (
  definition: Definition,
  write: Write,
  current: Current,
  { extras, fields }: Next
): Either.Either<Plan, InvalidDocument> =>
  Either.map(twinFields(definition, write.intent.id, current, fields), (twin) => {
    const { id } = write.intent
    const { fingerprint, keyVersion } = definition.anonymizer
    const version = versionOf(current) + 1
    const document: StoredDocument = { _id: id, version, ...fields, ...extras }
    return {
      id,
      version,
      original: {
        _tag: current.original === undefined ? ("Insert" as const) : ("Replace" as const),
        document
      },
      twin: { _id: id, version, ...twin, keyVersion, fingerprint },
      twinMayExist: current.twin !== undefined || current.original !== undefined,
      tombstone: current.tombstone === undefined ? undefined : null,
      drafts: drafts(definition, write, version, fields, twin)
    }
  })

const deletePlan = (definition: Definition, write: Write, current: Current, deletedAt: Date): Plan => {
  const { id } = write.intent
  const version = versionOf(current) + 1
  return {
    id,
    version,
    original: { _tag: "Remove" },
    twin: null,
    twinMayExist: true,
    tombstone: { _id: id, version, deletedAt },
    drafts: drafts(definition, write, version, null, null)
  }
}

/** The original, if it is there in the version the caller expects. */
const expected = (
  { collection }: Definition,
  id: string,
  current: Current,
  expectedVersion: number | undefined
): Either.Either<StoredDocument, PlanError> => {
  if (current.original === undefined) return Either.left(new NotFound({ collection, id }))
  const actual = versionOf(current)
  return expectedVersion === undefined || expectedVersion === actual
    ? Either.right(current.original)
    : Either.left(new VersionConflict({ collection, id, expected: expectedVersion, actual }))
}

const written = (plan: Plan): Planned => ({ _tag: "Write", plan })

/** Whether a change leaves everything as it is, with a twin that is up to date. */
const isUnchanged = (definition: Definition, current: Current, { extras, fields }: Next): boolean =>
  current.original?.version !== undefined &&
  current.twin?.version === current.original.version &&
  current.twin.keyVersion === definition.anonymizer.keyVersion &&
  current.twin.fingerprint === definition.anonymizer.fingerprint &&
  isDeepStrictEqual(fieldsOf(current.original), { ...fields, ...extras })

/**
 * Decides what a write does, given what is stored about its id. Pure: `now` is only noted in tombstones.
 * A change that changes nothing writes nothing.
 */
export const make = (
  definition: Definition,
  write: Write,
  current: Current,
  now: Date
): Either.Either<Planned, PlanError> => {
  const { intent } = write
  switch (intent._tag) {
    // An original that is there already is left to the unique index, which refuses the insert.
    case "Create":
      return Either.map(
        putPlan(
          definition,
          write,
          { ...current, original: undefined },
          { fields: intent.fields, extras: {} }
        ),
        written
      )
    case "Change":
      return Either.flatMap(expected(definition, intent.id, current, intent.expectedVersion), (original) =>
        Either.flatMap(intent.change(original), (next): Either.Either<Planned, PlanError> =>
          isUnchanged(definition, current, next)
            ? Either.right({ _tag: "Unchanged", document: original })
            : Either.map(putPlan(definition, write, current, next), written)
        )
      )
    case "Delete":
      return Either.map(expected(definition, intent.id, current, intent.expectedVersion), () =>
        written(deletePlan(definition, write, current, now))
      )
  }
}
