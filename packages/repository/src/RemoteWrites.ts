import { MongoDatabase, Transaction } from "@twinbox/mongodb"
import {
  Inbox,
  type InboxError,
  Key,
  MessageHeaders,
  RemoteWrite,
  type Transaction as OutboxTransaction
} from "@twinbox/outbox"
import { type Context, Data, Effect, Either, Exit, Layer, Option, type Schema, type Scope } from "effect"
import * as GroupCommit from "./GroupCommit.ts"
import * as JsonCodec from "./JsonCodec.ts"
import type { Entity, TwinRepository } from "./TwinRepository.ts"
import type { ReadError, WriteError } from "./RepositoryError.ts"

export interface Options<A, I, Twin> {
  /** Where the writes go. Give it an `originalTopic`: its messages carry the outcome back. */
  readonly repository: TwinRepository<A, I, Twin>
  /** The repository's Schema. */
  readonly schema: Schema.Schema<A, I>
  /** Name by which the inbox knows who applies these writes. Stays the same over restarts. 56 characters at most. */
  readonly consumer: string
  readonly transaction?: Transaction.Options
}

/** The write itself is at fault: the transaction could go on. */
class Unfit extends Data.TaggedError("Unfit")<{ readonly reason: RemoteWrite.Refusal }> {}

/** Ends the transaction of a write that was decided before: there is nothing to commit. */
class Remembered extends Data.TaggedError("Remembered")<{ readonly verdict: RemoteWrite.Verdict }> {}

type ApplyError = Unfit | WriteError | InboxError.InboxError

type InTransaction<A, E = ApplyError> = Effect.Effect<A, E, OutboxTransaction.Transaction>

const reasons: ReadonlyArray<RemoteWrite.Refusal> = [
  "Exists",
  "NotFound",
  "VersionConflict",
  "Invalid",
  "TooLarge",
  "Failed"
]

/**
 * Server error codes that say nothing about the write: Unauthorized, AuthenticationFailed, OutOfDiskSpace.
 * https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
 */
const codesOfTheServer: ReadonlySet<number | undefined> = new Set([13, 18, 14031])

/** What an error says about the write; undefined: nothing, it may be applied later. */
const refusalOf = (error: ApplyError): RemoteWrite.Refusal | undefined => {
  switch (error._tag) {
    case "Unfit":
      return error.reason
    case "NotFound":
    case "VersionConflict":
      return error._tag
    case "InvalidDocument":
      return "Invalid"
    case "TransactionTooLarge":
      return "TooLarge"
    // Another unique index than that of the ids is one of the user's.
    case "DuplicateKey":
      return error.fields.includes("_id") ? "Exists" : "Failed"
    case "Refused":
      return codesOfTheServer.has(error.code) ? undefined : "Failed"
    case "InboxError":
    case "OutboxFull":
    case "WriteContention":
    case "CommitUnknown":
    case "Unavailable":
    // An instance with the newest key applies it.
    case "KeyRetired":
      return undefined
  }
}

/** Whether an error comes before the database was asked to write: its transaction can still take a note. */
const leavesTransaction = ({ _tag }: ApplyError): boolean =>
  _tag === "Unfit" || _tag === "NotFound" || _tag === "VersionConflict" || _tag === "InvalidDocument"

/** On whom the failure of writes that were decided together is. */
const blame = (error: ApplyError): GroupCommit.Blame => {
  const isOfOne =
    refusalOf(error) !== undefined ||
    error._tag === "WriteContention" ||
    (error._tag === "InboxError" && error.reason === "TooLarge")
  return isOfOne ? "one" : "nobody"
}

/** A group cannot be interrupted: it is left to single writes, which can, to wait for others. */
const groupOptions = { maxAttempts: 4 }

const undecided =
  (operation: RemoteWrite.Undecided["operation"]) =>
  ({ message }: { readonly message: string }) =>
    new RemoteWrite.Undecided({ operation, cause: { message } })

const unfit = new Unfit({ reason: "Invalid" })

const parse = (text: string | null): Either.Either<unknown, Unfit> =>
  Either.try({ try: () => JSON.parse(text ?? "") as unknown, catch: () => unfit })

/** A whole document may come as its topic publishes it: id and version are not the writer's to choose. */
const withoutIdentity = (document: unknown): unknown => {
  if (typeof document !== "object" || document === null || Array.isArray(document)) return document
  const { _id, version, ...fields } = document as Readonly<Record<string, unknown>>
  return fields
}

/** What the inbox knows a write by; their order is kept by who gives them. */
const noteOf = (id: string, { key }: RemoteWrite.RemoteWrite): Inbox.Identified => ({
  id,
  key,
  sequence: 0,
  ordinal: 0
})

const noteOfRefusal = (write: RemoteWrite.RemoteWrite, reason: RemoteWrite.Refusal) =>
  noteOf(`${write.id}:${reason}`, write)

/**
 * Decides on remote writes by a repository. A write, the note of it in the inbox and the messages that come of it
 * commit in one transaction; a refusal is noted with its reason, so a write given again gets the same answer, however
 * the documents have changed since, with what the database has by then. The inbox has to remember longer than a write
 * may wait. Writes that are given at the same time share a transaction.
 *
 * Messages that come of a write carry its headers and `RemoteWrite.header`. A stored document that does not fit the
 * Schema counts as none in a state, since it is never published; a `replace` mends it. What the program itself trips
 * over is a defect, and leaves nothing behind: it is for the caller to limit how often it tries.
 */
export const make = <A, I, Twin>({
  consumer: name,
  repository,
  schema,
  transaction
}: Options<A, I, Twin>): Effect.Effect<
  Context.Tag.Service<RemoteWrite.RemoteWrites>,
  never,
  MongoDatabase.MongoDatabase | Inbox.Inbox | Scope.Scope
> =>
  Effect.gen(function* () {
    const database = yield* MongoDatabase.MongoDatabase
    const inbox: Context.Tag.Service<Inbox.Inbox> = yield* Inbox.Inbox
    const writes: Inbox.Consumer = { name, guard: "none" }
    const refusals: Inbox.Consumer = { name: `${name}-refused`, guard: "none" }
    const json = JsonCodec.make(schema)

    const payloadOf = ({ _id, version, ...fields }: Entity<A>): string =>
      JSON.stringify({ _id, version, ...Either.getOrThrow(json.encode(fields as unknown as A)) })

    /** The document of an id; one that does not fit the Schema counts as none. */
    const read = (id: string) =>
      Effect.catchTag(repository.get(id), "InvalidDocument", () => Effect.succeedNone)

    const stateOf = (key: Key.Key): Effect.Effect<RemoteWrite.State, ReadError> =>
      Effect.zipWith(read(Key.idOf(key)), repository.version(Key.idOf(key)), (document, version) => ({
        version,
        payload: Option.getOrNull(Option.map(document, payloadOf))
      }))

    const wholeOf = ({ body }: RemoteWrite.RemoteWrite): Either.Either<A, Unfit> =>
      Either.flatMap(parse(body), (document) =>
        Either.mapLeft(json.decode(withoutIdentity(document)), () => unfit)
      )

    const published = (entity: Entity<A>): RemoteWrite.State => ({
      version: entity.version,
      payload: payloadOf(entity)
    })

    const execute = (write: RemoteWrite.RemoteWrite): Effect.Effect<RemoteWrite.State, ApplyError> => {
      const id = Key.idOf(write.key)
      const { expectedVersion } = write
      switch (write.operation) {
        case "create":
          return Effect.flatMap(wholeOf(write), (fields) =>
            Effect.map(repository.create({ ...fields, _id: id }), published)
          )
        case "replace":
          return Effect.flatMap(wholeOf(write), (fields) =>
            Effect.map(repository.replace(id, fields, expectedVersion), published)
          )
        case "patch":
          return Effect.flatMap(parse(write.body), (patch) =>
            Effect.map(repository.patch(id, patch, expectedVersion), published)
          )
        case "delete":
          return Effect.map(repository.delete(id, expectedVersion), (version) => ({ version, payload: null }))
      }
    }

    const refuse = (
      write: RemoteWrite.RemoteWrite,
      reason: RemoteWrite.Refusal
    ): InTransaction<RemoteWrite.Verdict> =>
      Effect.zipRight(
        inbox.once(refusals, noteOfRefusal(write, reason), Effect.void),
        Effect.map(stateOf(write.key), (state) => ({ _tag: "Refused" as const, reason, state }))
      )

    const apply = (write: RemoteWrite.RemoteWrite): InTransaction<RemoteWrite.Verdict> =>
      execute(write).pipe(
        MessageHeaders.locally({ ...write.headers, [RemoteWrite.header]: write.position }),
        Effect.map((state): RemoteWrite.Verdict => ({ _tag: "Applied", state })),
        Effect.catchIf(leavesTransaction, (error) => refuse(write, refusalOf(error) ?? "Failed"))
      )

    /** Asks for one reason after the other whether it is noted: what this notes itself goes with the transaction. */
    const remember = (write: RemoteWrite.RemoteWrite): InTransaction<never, ApplyError | Remembered> =>
      Effect.gen(function* () {
        const state = yield* stateOf(write.key)
        const reason = yield* Effect.findFirst(reasons, (reason) =>
          Effect.map(
            inbox.once(refusals, noteOfRefusal(write, reason), Effect.void),
            ({ _tag }) => _tag === "Duplicate"
          )
        )
        return yield* new Remembered({
          verdict: Option.match(reason, {
            onNone: () => ({ _tag: "Applied", state }),
            onSome: (reason) => ({ _tag: "Refused", reason, state })
          })
        })
      })

    const admit = (write: RemoteWrite.RemoteWrite, decide: InTransaction<RemoteWrite.Verdict>) =>
      inbox.once(writes, noteOf(write.id, write), decide)

    /** Decides by an effect, or finds what was decided before. */
    const once = (write: RemoteWrite.RemoteWrite, decide: InTransaction<RemoteWrite.Verdict>) =>
      admit(write, decide).pipe(
        Effect.flatMap((outcome) =>
          outcome._tag === "Applied" ? Effect.succeed(outcome.value) : remember(write)
        ),
        (body) => Transaction.runIn(database, body, transaction),
        Effect.catchTag("Remembered", ({ verdict }) => Effect.succeed(verdict))
      )

    /** Decides on writes of different keys in one transaction; nothing comes of those that were decided before. */
    const together = (several: ReadonlyArray<RemoteWrite.RemoteWrite>) =>
      Effect.forEach(several, (write) => admit(write, apply(write)), { concurrency: "unbounded" }).pipe(
        (body) => Transaction.runIn(database, body, { ...transaction, ...groupOptions }),
        Effect.map((outcomes) =>
          outcomes.map((outcome) =>
            Exit.succeed(outcome._tag === "Applied" ? Option.some(outcome.value) : Option.none())
          )
        )
      )

    const group = yield* GroupCommit.make({
      idOf: ({ key }: RemoteWrite.RemoteWrite) => key,
      run: together,
      blame,
      forCaller: (error) => error
    })

    return {
      apply: (write) =>
        group.submit(write, write.body?.length ?? 0).pipe(
          Effect.catchTag("WriteContention", () => Effect.succeed(Option.none<RemoteWrite.Verdict>())),
          Effect.flatMap((decided: Option.Option<RemoteWrite.Verdict>) =>
            Option.isSome(decided) ? Effect.succeed(decided.value) : once(write, apply(write))
          ),
          Effect.catchAll((error) => {
            const reason = refusalOf(error)
            return reason === undefined ? Effect.fail(error) : once(write, refuse(write, reason))
          }),
          Effect.mapError(undecided("apply"))
        ),
      current: (key) =>
        Effect.mapError(Transaction.runIn(database, stateOf(key), transaction), undecided("current"))
    }
  })

export const layer = <A, I, Twin>(
  options: Options<A, I, Twin>
): Layer.Layer<RemoteWrite.RemoteWrites, never, MongoDatabase.MongoDatabase | Inbox.Inbox> =>
  Layer.scoped(RemoteWrite.RemoteWrites, make(options))
