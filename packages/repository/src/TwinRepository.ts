import {
  type AnonymizeKey,
  type AnonymizerError,
  type FullyAnnotated,
  KeyRing,
  TwinLookup,
  type TwinOf
} from "@twinbox/anonymize"
import { type MongoDatabase, MongoError } from "@twinbox/mongodb"
import type { Outbox } from "@twinbox/outbox"
import { Effect, Either, type Schema, type Scope } from "effect"
import { BSON, ObjectId } from "mongodb"
import * as CollectionReads from "./CollectionReads.ts"
import * as DocumentCodec from "./DocumentCodec.ts"
import * as DocumentId from "./DocumentId.ts"
import type * as GroupCommit from "./GroupCommit.ts"
import * as HighestVersion from "./HighestVersion.ts"
import * as JsonCodec from "./JsonCodec.ts"
import * as KeyRegistry from "./KeyRegistry.ts"
import * as MergePatch from "./MergePatch.ts"
import {
  type DocumentIssue,
  InvalidDocument,
  type KeyError,
  type ReadError,
  type WriteError
} from "./RepositoryError.ts"
import * as RepositoryParts from "./RepositoryParts.ts"
import * as RetiredKeys from "./rotation/RetiredKeys.ts"
import type { Fields, StoredDocument } from "./StoredDocument.ts"
import * as TwinReads from "./TwinReads.ts"
import type * as WritePlan from "./WritePlan.ts"
import * as Writer from "./Writer.ts"

export type { CollectionReads } from "./CollectionReads.ts"
export type { Entity } from "./DocumentCodec.ts"
export type { OriginalValues } from "./OriginalValues.ts"
export type { TwinReads } from "./TwinReads.ts"

export interface Options<S extends Schema.Schema.AnyNoContext> extends RepositoryParts.Options<S> {
  /** Lets independent writes share transactions. Default false: one transaction each. */
  readonly groupCommit?: boolean | GroupCommit.Options
  /**
   * Keys of lower versions that some twins are still of: while keys are rotated, twins are looked up under these as well.
   * Nothing is made with them. Default: none.
   */
  readonly previousKeys?: ReadonlyArray<AnonymizeKey>
}

/** What is saved: the Schema's fields; `_id` only to choose the id instead of getting a new one. */
export type Input<A> = A & { readonly _id?: string }

/** New values for some top-level fields, or a pure function that gives them; it may run several times. */
export type Patch<A> = Partial<A> | ((current: DocumentCodec.Entity<A>) => Partial<A>)

/**
 * Documents with personal data, each with its anonymized twin. Every write changes original, twin and
 * outbox in one transaction, and joins the caller's transaction where there is one.
 */
export interface TwinRepository<A, I, Twin> extends CollectionReads.CollectionReads<A, I> {
  /** Fails with `DuplicateKey` when the id is taken. */
  readonly create: (input: Input<A>) => Effect.Effect<DocumentCodec.Entity<A>, WriteError>
  /**
   * All in one transaction or none; too many are `TransactionTooLarge`, never split. Paths in `InvalidDocument`
   * begin with the position of the document.
   */
  readonly createMany: (
    inputs: ReadonlyArray<Input<A>>
  ) => Effect.Effect<ReadonlyArray<DocumentCodec.Entity<A>>, WriteError>
  /**
   * Changes some fields and leaves the others as they are stored; a patch that changes nothing writes nothing.
   * `VersionConflict` unless the version is the expected one.
   */
  readonly update: (
    id: string,
    patch: Patch<A>,
    expectedVersion?: number
  ) => Effect.Effect<DocumentCodec.Entity<A>, WriteError>
  /**
   * Applies a JSON Merge Patch (RFC 7396) to the document as it is in JSON, dates as ISO 8601 text; otherwise as
   * `update`. A patch that is none, or whose outcome does not fit the Schema, is `InvalidDocument`.
   */
  readonly patch: (
    id: string,
    mergePatch: unknown,
    expectedVersion?: number
  ) => Effect.Effect<DocumentCodec.Entity<A>, WriteError>
  /** Puts other fields in the place of all that is there. */
  readonly replace: (
    id: string,
    fields: A,
    expectedVersion?: number
  ) => Effect.Effect<DocumentCodec.Entity<A>, WriteError>
  /**
   * Removes original and twin. Returns the version of the deletion, which a tombstone keeps: a later `create` of this
   * id goes on from there.
   */
  readonly delete: (id: string, expectedVersion?: number) => Effect.Effect<number, WriteError>
  /** The highest version that an id has had, also of a document that is gone; 0: there never was one. */
  readonly version: (id: string) => Effect.Effect<number, ReadError>
  readonly twins: TwinReads.TwinReads<Twin, I>
}

/** Documents of one `createMany`, at most. */
const maxCreateMany = 50_000
/** Bytes of one `createMany`, at most. */
const maxCreateManyBytes = 64 * 1024 * 1024
/** MongoDB's own limit of a document. */
const maxDocumentBytes = 16 * 1024 * 1024

const nothingToMeasure = 1_024

const checkId = (collection: string, stream: string, id: string): Either.Either<string, InvalidDocument> => {
  const issue = DocumentId.issueOf(stream, id)
  return issue === undefined
    ? Either.right(id)
    : Either.left(new InvalidDocument({ collection, id: undefined, stored: false, issues: [issue] }))
}

const measured = (fields: Fields): Either.Either<number, MongoError.TransactionTooLarge> => {
  const bytes = BSON.calculateObjectSize(fields, { ignoreUndefined: true })
  return bytes <= maxDocumentBytes
    ? Either.right(bytes)
    : Either.left(
        new MongoError.TransactionTooLarge({
          detail: `the document has ${bytes} bytes, ${maxDocumentBytes} is the limit`
        })
      )
}

const documentOf = (planned: WritePlan.Planned): StoredDocument | undefined => {
  if (planned._tag === "Unchanged") return planned.document
  const { original } = planned.plan
  return original._tag === "Insert" || original._tag === "Replace" ? original.document : undefined
}

const groupOptions = (given: boolean | GroupCommit.Options | undefined) => {
  if (given === undefined || given === false) return undefined
  return given === true ? {} : given
}

/** Names the document of several that an issue belongs to. */
const inDocument =
  (position: number) =>
  <E>(error: E | InvalidDocument): E | InvalidDocument =>
    error instanceof InvalidDocument
      ? new InvalidDocument({
          collection: error.collection,
          id: error.id,
          stored: error.stored,
          issues: error.issues.map(({ path, problem }) => ({
            path: path === "" ? `${position}` : `${position}.${path}`,
            problem
          }))
        })
      : error

const refuseMany = (count: number, bytes: number | undefined) =>
  new MongoError.TransactionTooLarge({
    detail: `${count} documents${bytes === undefined ? "" : ` of ${bytes} bytes`}; ${maxCreateMany} documents and ${maxCreateManyBytes} bytes are the limit`
  })

/**
 * Makes a repository, and what it needs in the database: its collections, and the check value of the key
 * version (`KeyMismatch` when this database knows another secret under it, `KeyRetired` when it is out of use).
 */
export const make = <S extends Schema.Schema.AnyNoContext>(
  options: Options<S> & { readonly schema: FullyAnnotated<S> }
): Effect.Effect<
  TwinRepository<Schema.Schema.Type<S>, Schema.Schema.Encoded<S>, TwinOf<S>>,
  AnonymizerError | KeyError | MongoError.MongoError,
  MongoDatabase.MongoDatabase | Outbox.Outbox | Scope.Scope
> =>
  Effect.gen(function* () {
    type A = Schema.Schema.Type<S>
    type Entity = DocumentCodec.Entity<A>
    const { collection, key, previousKeys = [] } = options
    // Keys that make no ring are a fault of the program, as `KeyRing.config` finds out about those of the environment.
    const ring = yield* Effect.orDie(KeyRing.make(key, previousKeys))
    const { anonymizer, batch, codec, database, definition, names } = yield* RepositoryParts.make<S>(options)
    const { stream } = definition
    const { db } = database
    const jsonCodec = JsonCodec.make(options.schema as unknown as Schema.Schema<A, unknown>)
    const twinCodec = DocumentCodec.make(
      anonymizer.twinSchema as Schema.Schema<TwinOf<S>, unknown>,
      names.twins
    )
    yield* KeyRegistry.verifyEarlier(database, ring.earlier)
    const lookup = yield* TwinLookup.make(options.schema, ring)
    const twins = CollectionReads.make<TwinOf<S>, TwinOf<S>>(
      db.collection<StoredDocument>(names.twins),
      twinCodec
    )
    const writer = RetiredKeys.explaining(
      database,
      names,
      key,
      yield* Writer.make(batch, groupOptions(options.groupCommit))
    )

    const creation = ({ _id, ...value }: Input<A>) => {
      const isNewId = _id === undefined
      const checked = isNewId ? Either.right(new ObjectId().toHexString()) : checkId(collection, stream, _id)
      return Either.flatMap(checked, (id) =>
        Either.flatMap(codec.encode(value as A, id), (fields) =>
          Either.map(measured(fields), (bytes) => ({
            write: Writer.writeOf({ _tag: "Create", id, fields, isNewId }),
            bytes
          }))
        )
      )
    }

    const entityOf = (planned: WritePlan.Planned): Effect.Effect<Entity, InvalidDocument> => {
      const document = documentOf(planned)
      return document === undefined ? Effect.dieMessage("nothing was written") : codec.decode(document)
    }

    const create = (input: Input<A>) =>
      Effect.flatMap(creation(input), ({ bytes, write }) =>
        Effect.flatMap(writer.one(write, bytes), entityOf)
      )

    const createMany = (inputs: ReadonlyArray<Input<A>>) =>
      Effect.gen(function* () {
        if (inputs.length === 0) return []
        if (inputs.length > maxCreateMany) return yield* refuseMany(inputs.length, undefined)
        const creations = yield* Either.all(
          inputs.map((input, position) => Either.mapLeft(creation(input), inDocument(position)))
        )
        const total = creations.reduce((sum, { bytes }) => sum + bytes, 0)
        if (total > maxCreateManyBytes) return yield* refuseMany(inputs.length, total)
        const planned = yield* writer.many(creations.map(({ write }) => write))
        return yield* Effect.forEach(planned, entityOf)
      })

    const change = (
      id: string,
      expectedVersion: number | undefined,
      decide: (current: StoredDocument) => Either.Either<WritePlan.Next, InvalidDocument>,
      bytes: number
    ) =>
      Effect.flatMap(
        writer.one(Writer.writeOf({ _tag: "Change", id, change: decide, expectedVersion }), bytes),
        entityOf
      )

    /** Changes what the Schema knows of a document, and leaves the rest as it is stored. */
    const revise = (
      id: string,
      expectedVersion: number | undefined,
      next: (value: A, current: Entity) => Either.Either<A, InvalidDocument>
    ) => {
      const decide = (stored: StoredDocument) =>
        Either.gen(function* () {
          const current = yield* codec.decode(stored)
          const { _id, version, ...rest } = current
          const value = rest as unknown as A
          const before = yield* codec.encode(value, id)
          const fields = yield* codec.encode(yield* next(value, current), id)
          return { fields, untouched: DocumentCodec.untouched(stored, before, fields) }
        })
      return change(id, expectedVersion, decide, nothingToMeasure)
    }

    const update = (id: string, patch: Patch<A>, expectedVersion?: number) =>
      revise(id, expectedVersion, (value, current) =>
        Either.right({ ...value, ...(typeof patch === "function" ? patch(current) : patch) })
      )

    const patch = (id: string, mergePatch: unknown, expectedVersion?: number) => {
      const refused = (issues: ReadonlyArray<DocumentIssue>) =>
        new InvalidDocument({ collection, id, stored: false, issues })
      return revise(id, expectedVersion, (value) =>
        jsonCodec.encode(value).pipe(
          Either.flatMap((json) =>
            Either.mapLeft(MergePatch.apply(json, mergePatch), ({ message }) => [
              { path: "", problem: message }
            ])
          ),
          Either.flatMap(jsonCodec.decode),
          Either.mapLeft(refused)
        )
      )
    }

    const replace = (id: string, value: A, expectedVersion?: number) =>
      Effect.gen(function* () {
        const fields = yield* codec.encode(value, id)
        const bytes = yield* measured(fields)
        return yield* change(id, expectedVersion, () => Either.right({ fields, untouched: {} }), bytes)
      })

    const remove = (id: string, expectedVersion?: number) =>
      Effect.flatMap(
        writer.one(Writer.writeOf({ _tag: "Delete", id, expectedVersion }), nothingToMeasure),
        (planned) =>
          planned._tag === "Write"
            ? Effect.succeed(planned.plan.version)
            : Effect.dieMessage("nothing was deleted")
      )

    return {
      ...CollectionReads.make<A, Schema.Schema.Encoded<S>>(
        db.collection<StoredDocument>(names.originals),
        codec
      ),
      twins: TwinReads.make(database, twins, lookup, collection),
      create,
      createMany,
      update,
      patch,
      replace,
      delete: remove,
      version: HighestVersion.make(database, names)
    }
  })
