import { isDeepStrictEqual } from "node:util"
import type { Anonymizer, UnexpectedValue } from "@twinbox/anonymize"
import { Key, Message, type Outbox, type Topic } from "@twinbox/outbox"
import { Either } from "effect"
import { InvalidDocument, NotFound, VersionConflict } from "./RepositoryError.ts"
import {
  type Current,
  type Fields,
  fieldsOf,
  type StoredDocument,
  type StoredTwin,
  type Tombstone,
  twinFieldsOf,
  upToDate,
  versionIn,
  versionOf
} from "./StoredDocument.ts"
import * as Difference from "./sync/Difference.ts"

/** The next state of an original. */
export interface Next {
  /** The Schema's fields. Only these are published. */
  readonly fields: Fields
  /** What stays as it is stored: it goes over `fields`, and holds what foreign programs added. */
  readonly untouched: Fields
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
  | Sync

/** Makes a twin, and what is published, follow from the original as it is stored: it writes where they differ. */
export interface Sync {
  readonly _tag: "Sync"
  readonly id: string
  readonly rules: Difference.Rules
  /** The Schema's fields of a stored original, for publishing. */
  readonly fieldsOf: (original: StoredDocument) => Either.Either<Fields, InvalidDocument>
  /** Given: writes in any case, under a version above this one, since a mirror shows something else. */
  readonly above: number | undefined
}

/** An intent with the ids of its messages, which are made once, before any attempt. */
export interface Write {
  readonly intent: Intent
  readonly messageIds: { readonly anonymized: string; readonly original: string }
  /** Headers of its messages. */
  readonly headers?: Message.Headers
}

/** What a write puts into the collections. */
export interface Plan {
  readonly id: string
  readonly version: number
  readonly original:
    | { readonly _tag: "Insert" | "Replace"; readonly document: StoredDocument }
    | { readonly _tag: "Remove" }
    /** All but its version stays as it is stored, to the type of each number. */
    | { readonly _tag: "SetVersion" }
    /** There is none. */
    | { readonly _tag: "None" }
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
  | { readonly _tag: "Unchanged"; readonly document: StoredDocument | undefined }

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

const refuse = (definition: Definition, id: string) => (error: UnexpectedValue) =>
  new InvalidDocument({
    collection: definition.collection,
    id,
    stored: false,
    issues: [{ path: error.path, problem: "cannot be anonymized" }]
  })

/** The twin of the next state: only what changed is hashed, if the twin there is up to date. */
const twinFields = (definition: Definition, id: string, current: Current, next: Fields) => {
  const { anonymizer } = definition
  const known = upToDate(anonymizer, current)
  const made =
    known === undefined
      ? anonymizer.anonymizeEither(next)
      : anonymizer.reanonymizeEither(fieldsOf(known.original), next, twinFieldsOf(known.twin))
  return Either.mapLeft(made, refuse(definition, id))
}

const drafts = (
  definition: Definition,
  write: Write,
  version: number,
  original: Fields | null,
  twin: Fields | null
): ReadonlyArray<Outbox.Sequenced> => {
  const { headers = {}, messageIds } = write
  const { id } = write.intent
  const key = Key.make(definition.stream, id)
  const payload = (fields: Fields | null) =>
    fields === null ? null : JSON.stringify({ _id: id, version, ...fields })
  const { originalTopic, topic } = definition
  const anonymized = Message.fromText(topic, key, payload(twin), { id: messageIds.anonymized, headers })
  if (originalTopic === undefined) return [{ draft: anonymized, sequence: version }]
  const published = Message.fromText(originalTopic, key, payload(original), {
    id: messageIds.original,
    headers
  })
  return [anonymized, published].map((draft) => ({ draft, sequence: version }))
}

const storedTwin = (
  { anonymizer: { fingerprint, keyVersion } }: Definition,
  id: string,
  version: number,
  fields: Fields
): StoredTwin => ({ _id: id, version, ...fields, keyVersion, fingerprint })

const putPlan = (
  definition: Definition,
  write: Write,
  current: Current,
  { fields, untouched }: Next
): Either.Either<Plan, InvalidDocument> => {
  const { id } = write.intent
  const stored = { ...fields, ...untouched }
  return Either.map(twinFields(definition, id, current, stored), (twin) => {
    const version = versionOf(current) + 1
    const document: StoredDocument = { _id: id, version, ...stored }
    return {
      id,
      version,
      original: {
        _tag: current.original === undefined ? ("Insert" as const) : ("Replace" as const),
        document
      },
      twin: storedTwin(definition, id, version, twin),
      twinMayExist: current.twin !== undefined || current.original !== undefined,
      tombstone: current.tombstone === undefined ? undefined : null,
      drafts: drafts(definition, write, version, fields, twin)
    }
  })
}

const deletePlan = (definition: Definition, write: Write, version: number, deletedAt: Date): Plan => {
  const { id } = write.intent
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

/** A twin and messages that follow from the original, which keeps all but its version. */
const alignPlan = (
  definition: Definition,
  write: Write,
  intent: Sync,
  original: StoredDocument,
  { tombstone, twin: present }: Current,
  version: number
): Either.Either<Plan, InvalidDocument> =>
  // All of it is hashed again: what an altered twin holds can be trusted with nothing.
  Either.flatMap(
    Either.mapLeft(definition.anonymizer.anonymizeEither(fieldsOf(original)), refuse(definition, intent.id)),
    (twin) =>
      Either.map(
        definition.originalTopic === undefined ? Either.right({}) : intent.fieldsOf(original),
        (fields): Plan => ({
          id: intent.id,
          version,
          original: { _tag: "SetVersion" },
          twin: storedTwin(definition, intent.id, version, twin),
          twinMayExist: present !== undefined,
          tombstone: tombstone === undefined ? undefined : null,
          drafts: drafts(definition, write, version, fields, twin)
        })
      )
  )

const syncPlan = (
  definition: Definition,
  write: Write,
  intent: Sync,
  current: Current,
  now: Date
): Either.Either<Planned, PlanError> => {
  const { above, id, rules } = intent
  const { original } = current
  const difference = Difference.of(rules, id, current)
  if (difference._tag === "Unfit") {
    const { issues } = difference
    return Either.left(new InvalidDocument({ collection: definition.collection, id, stored: true, issues }))
  }
  if (difference._tag === "InStep" && above === undefined) {
    return Either.right({ _tag: "Unchanged", document: original })
  }
  const version = Math.max(versionOf(current), above ?? 0) + 1
  return original === undefined
    ? Either.right(written({ ...deletePlan(definition, write, version, now), original: { _tag: "None" } }))
    : Either.map(alignPlan(definition, write, intent, original, current, version), written)
}

/** The original, if it is there in the version the caller expects; the version is the one that readers see. */
const expected = (
  { collection }: Definition,
  id: string,
  current: Current,
  expectedVersion: number | undefined
): Either.Either<StoredDocument, PlanError> => {
  if (current.original === undefined) return Either.left(new NotFound({ collection, id }))
  const actual = versionIn(current.original)
  return expectedVersion === undefined || expectedVersion === actual
    ? Either.right(current.original)
    : Either.left(new VersionConflict({ collection, id, expected: expectedVersion, actual }))
}

const written = (plan: Plan): Planned => ({ _tag: "Write", plan })

const isPlainObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** A value as it comes back from the database: fields that are undefined are not stored. */
const asStored = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(asStored)
  if (!isPlainObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, field]) => (field === undefined ? [] : [[name, asStored(field)]]))
  )
}

/** Whether a change leaves everything as it is, with a twin that is up to date. */
const isUnchanged = (definition: Definition, current: Current, { fields, untouched }: Next): boolean => {
  const known = upToDate(definition.anonymizer, current)
  return (
    known !== undefined && isDeepStrictEqual(fieldsOf(known.original), asStored({ ...fields, ...untouched }))
  )
}

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
          { fields: intent.fields, untouched: {} }
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
        written(deletePlan(definition, write, versionOf(current) + 1, now))
      )
    case "Sync":
      return syncPlan(definition, write, intent, current, now)
  }
}
