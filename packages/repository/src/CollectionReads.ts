import { MongoCall, MongoError, Transaction } from "@twinbox/mongodb"
import { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Chunk, Effect, Either, Option, Stream } from "effect"
import type { ClientSession, Collection, Filter, FindOptions, Sort } from "mongodb"
import type { DocumentCodec, Entity } from "./DocumentCodec.ts"
import type { ReadError } from "./RepositoryError.ts"
import type { StoredDocument } from "./StoredDocument.ts"

export interface FindOptionsOf {
  /** Documents at most. Default 100. */
  readonly limit?: number
  readonly sort?: Sort
}

/** Reading one collection. Inside a transaction, reads belong to it. */
export interface CollectionReads<A, I> {
  readonly get: (id: string) => Effect.Effect<Option.Option<Entity<A>>, ReadError>
  /** Documents that match a filter of the driver, over the stored fields. */
  readonly find: (
    filter: Filter<I & StoredDocument>,
    options?: FindOptionsOf
  ) => Effect.Effect<ReadonlyArray<Entity<A>>, ReadError>
  /** All that match, by rising `_id`, a page at a time: no cursor stays open and memory is bounded by a page. */
  readonly stream: (filter?: Filter<I & StoredDocument>) => Stream.Stream<Entity<A>, ReadError>
}

const defaultLimit = 100
const pageSize = 500

export const toReadError = (error: MongoError.MongoError): MongoError.Unavailable | MongoError.Refused =>
  error._tag === "Unavailable" || error._tag === "Refused"
    ? error
    : new MongoError.Refused({ code: undefined, codeName: error._tag, cause: error.message })

/** Runs a read in the open transaction, if there is one. */
const reading = <A>(read: (session: ClientSession | undefined) => Promise<A>) =>
  Effect.flatMap(Effect.serviceOption(OutboxTransaction.Transaction), (transaction) =>
    Option.isSome(transaction)
      ? Effect.provideService(Transaction.use(read), OutboxTransaction.Transaction, transaction.value)
      : MongoCall.attempt(() => read(undefined))
  ).pipe(Effect.mapError(toReadError))

export const make = <A, I>(
  collection: Collection<StoredDocument>,
  codec: DocumentCodec<A>
): CollectionReads<A, I> => {
  const query = (filter: unknown, options: FindOptions) =>
    reading((session) =>
      collection
        .find(filter as Filter<StoredDocument>, session === undefined ? options : { ...options, session })
        .toArray()
    )
  /**
   * A page, with the last document of the page before it. A bound of the index, unlike `$gt`, does not pass
   * over ids of other types: those of foreign programs are reported, not skipped.
   */
  const page = (filter: unknown, after: string | undefined) =>
    query(filter, {
      sort: { _id: 1 },
      limit: pageSize,
      ...(after === undefined ? {} : { min: { _id: after }, hint: { _id: 1 } })
    })
  return {
    get: (id) =>
      Effect.flatMap(query({ _id: id }, { limit: 1 }), ([stored]) =>
        stored === undefined ? Effect.succeedNone : Effect.map(codec.decode(stored), Option.some)
      ),
    find: (filter, { limit = defaultLimit, sort } = {}) =>
      Effect.flatMap(query(filter, sort === undefined ? { limit } : { limit, sort }), (stored) =>
        Either.all(stored.map(codec.decode))
      ),
    stream: (filter = {}) =>
      Stream.paginateChunkEffect(undefined as string | undefined, (after) =>
        Effect.gen(function* () {
          const stored = yield* page(filter, after)
          const entities = yield* Either.all(stored.filter(({ _id }) => _id !== after).map(codec.decode))
          const last = stored.at(-1)?._id
          const next = stored.length < pageSize || last === undefined ? Option.none() : Option.some(last)
          return [Chunk.unsafeFromArray(entities), next] as const
        })
      )
  }
}
